"""Bring the views of an export into a cache: as they are, or onto those that are here already."""

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
    """The cache's group with all rows of the staged one.

    A store's rows are numbered by its group. So where both have views, those that both have must be the
    same ones in the same order; the longer group then stands for both.

    Raises:
        StoreMismatchError: where they are not, or crops were rendered differently.
    """
    path = cache / staged.path.name
    if path.is_symlink():
        raise StoreMismatchError("a symbolic link stands in the group's place", where=path)
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    with locked(cache), locked(path):
        if not (path / ZARR).exists():
            if holds_stores(path):
                raise damage(path / ZARR, "the file is missing, and there are stores")
            _copy(staged, path, GROUP_FILES)
            return ViewGroup.at(path)
        here = ViewGroup.at(path)
        _require_same(here, staged)
        crops = _crops(here, staged)
        if len(staged.table) > len(here.table):
            # In this order, whenever it ends: crops and scenes may be more than the views need.
            write_table(path / CROPS, crops)
            _copy(staged, path, [name for name in GROUP_FILES if name not in (CROPS, ZARR)])
        elif (crops != here.crops(_all(here))).any():
            write_table(path / CROPS, crops)
        return ViewGroup.at(path)


def _require_same(here: ViewGroup, staged: ViewGroup) -> None:
    both = min(len(here.table), len(staged.table))
    scenes = min(len(here.scenes), len(staged.scenes))
    changed = next(differences(here.drawing, staged.drawing), None)
    if changed is None and here.scenes[:scenes] != staged.scenes[:scenes]:
        changed = "the scenes came in another order, or are other ones"
    if changed is None and here.table[:both].tobytes() != staged.table[:both].tobytes():
        changed = "the views came in another order, or are other ones"
    if changed is not None:
        raise StoreMismatchError(
            f"the cache and the export have grown apart: {changed}",
            where=here.path,
            remedy="import into another folder with --cache, and use that",
        )


def _crops(here: ViewGroup, staged: ViewGroup) -> "np.typing.NDArray[np.uint32]":
    """The crc32 of each crop that either knows, uint32 [rows of the longer]."""
    longer, shorter = sorted((here, staged), key=lambda one: -len(one.table))
    crops = np.array(longer.crops(_all(longer)))
    others = shorter.crops(_all(shorter))
    known = crops[: len(others)]
    differs = (known != 0) & (others != 0) & (known != others)
    if differs.any():
        raise StoreMismatchError(
            f"{int(differs.sum())} crops were rendered differently here and where the export was made",
            where=here.path,
            remedy="import into another folder with --cache, and use that",
        )
    np.copyto(known, others, where=known == 0)
    return crops


def _all(group: ViewGroup) -> "np.typing.NDArray[np.int64]":
    return np.arange(len(group.table))


def _copy(staged: ViewGroup, path: Path, names: "list[str] | tuple[str, ...]") -> None:
    for name in names:
        for target in (copy_of(path / name), path / name):
            copy_file(staged.path / name, target)
