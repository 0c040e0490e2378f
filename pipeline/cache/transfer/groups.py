"""Import the views of an export into a cache: as a new group, or as growth of an existing group."""

from pathlib import Path

import numpy as np

from pipeline.cache.transfer.listing import GROUP_FILES
from rsmtdf_core.errors import StoreMismatchError
from rsmtdf_core.files import copy_file
from rsmtdf_core.fingerprints import differences
from rsmtdf_core.refusals import writing
from rsmtdf_core.store.copies import copy_of
from rsmtdf_core.store.group import CROPS, ViewGroup, holds_stores
from rsmtdf_core.store.locks import locked
from rsmtdf_core.store.metadata import ZARR
from rsmtdf_core.store.shards import damage
from rsmtdf_core.store.tables import write_table


def adopt_group(cache: Path, staged: ViewGroup) -> ViewGroup:
    """Return the cache's group with all rows of the staged group.

    The group numbers the rows of its stores. So one group must begin with all views of the other, in the
    same order; the longer group then replaces both.

    Raises:
        StoreMismatchError: If the groups have different views, or crops were rendered differently.
    """
    path = cache / staged.path.name
    if path.is_symlink():
        raise StoreMismatchError("the group's folder is a symbolic link", where=path)
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    with locked(cache), locked(path):
        if not (path / ZARR).exists():
            if holds_stores(path):
                raise damage(path / ZARR, "the file is missing, but the group has stores")
            _copy(staged, path, GROUP_FILES)
            return ViewGroup.at(path)
        current = ViewGroup.at(path)
        _require_same(current, staged)
        crops = _crops(current, staged)
        if len(staged.table) > len(current.table):
            # In this order: after a kill there are more crops and scenes than the views need, never fewer.
            write_table(path / CROPS, crops)
            _copy(staged, path, [name for name in GROUP_FILES if name not in (CROPS, ZARR)])
        elif (crops != current.crops(_all(current))).any():
            write_table(path / CROPS, crops)
        return ViewGroup.at(path)


def _require_same(current: ViewGroup, staged: ViewGroup) -> None:
    both = min(len(current.table), len(staged.table))
    scenes = min(len(current.scenes), len(staged.scenes))
    changed = next(differences(current.drawing, staged.drawing), None)
    if changed is None and current.scenes[:scenes] != staged.scenes[:scenes]:
        changed = "the scenes or their order differ"
    if changed is None and current.table[:both].tobytes() != staged.table[:both].tobytes():
        changed = "the views or their order differ"
    if changed is not None:
        raise StoreMismatchError(
            f"the cache and the export have diverged: {changed}",
            where=current.path,
            remedy="import into another folder with --cache, and use that",
        )


def _crops(current: ViewGroup, staged: ViewGroup) -> "np.typing.NDArray[np.uint32]":
    """Merge the crc32 of the crops of both groups, uint32 [rows of the longer]."""
    longer, shorter = sorted((current, staged), key=lambda group: -len(group.table))
    crops = np.array(longer.crops(_all(longer)))
    others = shorter.crops(_all(shorter))
    common = crops[: len(others)]
    differs = (common != 0) & (others != 0) & (common != others)
    if differs.any():
        raise StoreMismatchError(
            f"{int(differs.sum())} crops were rendered differently for this cache and for the export",
            where=current.path,
            remedy="import into another folder with --cache, and use that",
        )
    np.copyto(common, others, where=common == 0)
    return crops


def _all(group: ViewGroup) -> "np.typing.NDArray[np.int64]":
    return np.arange(len(group.table))


def _copy(staged: ViewGroup, path: Path, names: "list[str] | tuple[str, ...]") -> None:
    for name in names:
        for target in (copy_of(path / name), path / name):
            copy_file(staged.path / name, target)
