"""The group: all that a cache knows about one view plan, shared by the stores of every teacher.

It gives each view a row that never changes. Views that a larger plan adds go into new segments,
which start at a multiple of `SEGMENT_ROWS`, so that no shard ever holds old and new views and
nothing written is moved.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import (
    StoreDamagedError,
    StoreError,
    StoreIncompleteError,
    StoreMismatchError,
    StoreNotFoundError,
)
from rsmtdf_core.files import atomic_file, write_json
from rsmtdf_core.fingerprints import differences
from rsmtdf_core.store.metadata import (
    EXTRACT,
    FORMAT,
    SEGMENT_ROWS,
    ZARR,
    read_attributes,
    sealed,
)
from rsmtdf_core.store.shards import damage
from rsmtdf_core.views.plan import VIEW_DTYPE, ViewPlan

VIEWS = "views.npy"
CROPS = "crops.npy"

Rows = npt.NDArray[np.int64]
Crcs = npt.NDArray[np.uint32]


class ViewGroup:
    """The views of one address (scenes, settings, seed) in store-row order.

    Attributes:
        path: the group's folder.
        table: `VIEW_DTYPE` [store rows], whole segments; rows that stand for no view have scene -1.
    """

    def __init__(self, path: Path, table: npt.NDArray[np.void]) -> None:
        self.path = path
        self.table = table

    @classmethod
    def open_or_create(cls, cache: Path, plan: ViewPlan) -> "ViewGroup":
        """The plan's group with a row for each of its views, made or grown where needed.

        Raises:
            StoreMismatchError: where a view is already there with other parameters.
            StoreDamagedError: where a file of the group is not what was written.
        """
        path = _group_path(cache, plan)
        path.mkdir(parents=True, exist_ok=True)
        with locked(path, wait=True):
            exists = (path / ZARR).exists()
            table = _read_table(path) if exists else np.empty(0, VIEW_DTYPE)
            group = cls(path, table)
            if exists:
                _check_address(path, plan)
            group._grow(plan)
            if not exists:
                # Written last: without it the folder is no group, and a crash before leaves nothing
                # to mend.
                own = {"format": FORMAT, "address_fields": plan.address_fields()}
                attributes = {"rsmtdf": sealed(own)}
                document = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
                write_json(path / ZARR, document)
        return group

    @classmethod
    def find(cls, cache: Path, plan: ViewPlan) -> "ViewGroup":
        """The plan's group as it is; nothing is written, so the cache may be read-only.

        Raises:
            StoreNotFoundError: where the cache has none.
            StoreMismatchError: where it is another plan's.
            StoreDamagedError: where a file of the group is not what was written.
        """
        path = _group_path(cache, plan)
        if not (path / ZARR).exists():
            raise StoreNotFoundError(
                f"no features of these views: {_nearest(cache, plan)}", where=cache, remedy=EXTRACT
            )
        _check_address(path, plan)
        return cls(path, _read_table(path))

    def rows(self, plan: ViewPlan) -> Rows:
        """The store row of each plan row, int64 [len(plan)].

        Raises:
            StoreIncompleteError: where the group lacks views of the plan.
            StoreMismatchError: where a view is here with other parameters.
        """
        rows = self._match(plan)
        if (rows < 0).any():
            raise StoreIncompleteError(
                f"{int((rows < 0).sum())} of the plan's {len(rows)} views were never extracted",
                where=self.path,
                remedy=EXTRACT,
            )
        _check_parameters(self.path, plan.table, self.table[rows])
        return rows

    def crops(self, rows: Rows) -> Crcs:
        """The crc32 of the geometric crop at each store row, uint32; 0 where none is recorded."""
        return self._read_crops()[rows]

    def set_crops(self, rows: Rows, crcs: Crcs) -> None:
        """Record the crc32 of the geometric crops that the teachers saw.

        Raises:
            StoreMismatchError: where a crop was recorded before and is now rendered differently:
                the features of two teachers would belong to different pixels.
        """
        with locked(self.path, wait=True):
            known = self._read_crops()
            differs = (known[rows] != 0) & (known[rows] != crcs)
            if differs.any():
                raise StoreMismatchError(
                    f"{int(differs.sum())} crops are not rendered as they were for other teachers, "
                    f"the first at store row {int(rows[differs][0])}",
                    where=self.path,
                    remedy="use the image library of that time, or another cache folder",
                )
            known[rows] = crcs
            _write_array(self.path / CROPS, known)

    def _read_crops(self) -> Crcs:
        """All recorded crops; more than the table has where the group has grown meanwhile."""
        crops = _read_array(self.path / CROPS, np.dtype(np.uint32))
        if len(crops) < len(self.table):
            raise _damaged(
                self.path / CROPS, f"{len(crops)} rows are fewer than the {len(self.table)} views'"
            )
        return crops

    def _match(self, plan: ViewPlan) -> Rows:
        """The store row of each plan row, -1 where the table lacks its view."""
        own = _keys(self.table)
        wanted = _keys(plan.table)
        order = np.argsort(own, kind="stable")
        place = np.searchsorted(own, wanted, sorter=order)
        place = order[np.minimum(place, len(own) - 1)] if len(own) else np.zeros_like(place)
        found = own[place] == wanted if len(own) else np.zeros(len(wanted), np.bool_)
        return np.where(found, place, -1).astype(np.int64)

    def _grow(self, plan: ViewPlan) -> None:
        """Append the plan's views that the table lacks, in plan order, as whole segments."""
        rows = self._match(plan)
        known = rows >= 0
        _check_parameters(self.path, plan.table[known], self.table[rows[known]])
        added = plan.table[~known]
        if not len(added):
            return
        start = len(self.table)
        segment = np.zeros(-(-len(added) // SEGMENT_ROWS) * SEGMENT_ROWS, VIEW_DTYPE)
        segment["scene"] = segment["partner_scene"] = -1
        segment[: len(added)] = added
        crops = np.zeros(start + len(segment), np.uint32)
        crops[:start] = self._read_crops()[:start] if start else 0
        # The crops first: they may be longer than the table, never shorter.
        _write_array(self.path / CROPS, crops)
        self.table = np.concatenate([self.table, segment])
        _write_array(self.path / VIEWS, self.table)


@contextmanager
def locked(folder: Path, *, wait: bool) -> Iterator[None]:
    """Hold `folder` for writing; the lock is gone with the process that holds it.

    Raises:
        StoreError: where another process holds it and `wait` is false.
    """
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise StoreError(
                "another extraction is writing here", where=folder, remedy="wait until it has ended"
            ) from None
        yield
    finally:
        os.close(handle)


def _group_path(cache: Path, plan: ViewPlan) -> Path:
    return cache / f"views-{plan.address[:16]}"


def _nearest(cache: Path, plan: ViewPlan) -> str:
    """How the group that differs in the fewest fields differs."""
    wanted = plan.address_fields()
    found = []
    for document in cache.glob(f"views-*/{ZARR}"):
        try:
            _, own = read_attributes(document, StoreNotFoundError)
        except StoreError:
            continue
        found.append((list(differences(wanted, own["address_fields"])), document.parent.name))
    if not found:
        return "the cache is empty"
    lines, name = min(found, key=lambda one: len(one[0]))
    more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
    return f"the nearest, {name}, differs in {'; '.join(lines[:3])}{more}"


def _check_address(path: Path, plan: ViewPlan) -> None:
    _, own = read_attributes(path / ZARR, StoreNotFoundError)
    changed = list(differences(plan.address_fields(), own.get("address_fields")))
    if changed:
        raise StoreMismatchError(
            f"the views here are another plan's: {'; '.join(changed[:3])}",
            where=path,
            remedy="use another cache folder",
        )


def _keys(table: npt.NDArray[np.void]) -> Rows:
    """One number per view that is the same in every plan of an address; negative for gaps."""
    scene, number = table["scene"].astype(np.int64), table["number"].astype(np.int64)
    return (scene << 33) | (table["labeled"].astype(np.int64) << 32) | number


def _check_parameters(
    path: Path, expected: npt.NDArray[np.void], found: npt.NDArray[np.void]
) -> None:
    wrong = np.flatnonzero((_bytes(expected) != _bytes(found)).any(axis=1))
    if len(wrong):
        first = int(wrong[0])
        lines = differences(_fields(expected[first]), _fields(found[first]))
        raise StoreMismatchError(
            f"{len(wrong)} views have other parameters here than in the plan; the first: "
            + "; ".join(lines),
            where=path / VIEWS,
            remedy="use another cache folder: this one's views were drawn by another version",
        )


def _bytes(table: npt.NDArray[np.void]) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(table).view(np.uint8).reshape(len(table), VIEW_DTYPE.itemsize)


def _fields(view: np.void) -> dict[str, Any]:
    return {name: view[name].tolist() for name in view.dtype.names or ()}


def _write_array(path: Path, array: npt.NDArray[Any]) -> None:
    with atomic_file(path) as file:
        np.lib.format.write_array(file, array, allow_pickle=False)


def _read_table(path: Path) -> npt.NDArray[np.void]:
    return _read_array(path / VIEWS, VIEW_DTYPE)


def _read_array(path: Path, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    try:
        # Mapped, so that a header which lies about its length allocates nothing.
        array = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, EOFError) as wrong:
        raise _damaged(path, f"the file cannot be read: {wrong}") from None
    if array.dtype != dtype or array.ndim != 1:
        raise _damaged(path, "the file is not the table it should be")
    if len(array) % SEGMENT_ROWS:
        raise _damaged(path, f"{len(array)} rows are not whole segments of {SEGMENT_ROWS}")
    return np.array(array)


def _damaged(path: Path, what: str) -> StoreDamagedError:
    """Rows would be lost with these files, so everything below the folder has to be made again."""
    return damage(path.parent, f"{path.name} is damaged: {what}")
