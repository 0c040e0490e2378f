"""A group of views, shared by the stores of all teachers.

The group assigns each view a row that never changes. A larger plan (more views per scene, more scenes or
other roles) adds its views in new segments. So no shard mixes old and new views, and no record is ever moved.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rsmtdf_core.arrays import Rows
from rsmtdf_core.cache_names import STORE_NAME
from rsmtdf_core.errors import (
    StoreDamagedError,
    StoreError,
    StoreIncompleteError,
    StoreMismatchError,
    StoreNotFoundError,
)
from rsmtdf_core.files import read_json, write_json
from rsmtdf_core.fingerprints import differences
from rsmtdf_core.formats import FileFormat
from rsmtdf_core.store.copies import copy_of, is_there, keep_copy
from rsmtdf_core.store.locks import locked
from rsmtdf_core.store.metadata import (
    EXTRACT,
    ZARR,
    read_attributes,
)
from rsmtdf_core.store.shards import damage
from rsmtdf_core.store.tables import SEGMENT_ROWS, read_table, table_damage, write_table
from rsmtdf_core.views.known import KnownViews, SceneKey, Table, find_keys, view_keys
from rsmtdf_core.views.plan import ViewPlan, drawn_dtype

VIEWS = "views.npy"
CROPS = "crops.npy"
SCENES = "scenes.json"
FORMAT = FileFormat("group of stores")
SCENES_FORMAT = FileFormat("list of scenes")
_CRC = np.dtype(np.uint32)
_MOST_NUMBERS = 2**20  # a view key has room for this many view numbers

Crcs = npt.NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class ViewGroup:
    """The views of one drawing (settings and seed) in store-row order.

    Attributes:
        path: the group's folder.
        drawing: the settings and the seed, from `plan.drawing_fields`.
        known: the scenes in the order in which they were added, and the views: `drawn_dtype` [store rows],
            in whole segments; a row without a view has scene -1.
    """

    path: Path
    drawing: dict[str, Any]
    known: KnownViews

    @property
    def scenes(self) -> tuple[SceneKey, ...]:
        """The scenes by their number in the table."""
        return self.known.scenes

    @property
    def table(self) -> Table:
        """The views, `drawn_dtype` [store rows]."""
        return self.known.table

    @classmethod
    def at(cls, path: Path) -> "ViewGroup":
        """Open the group in a folder, without writing.

        Raises:
            StoreNotFoundError: If the folder has no group.
            StoreDamagedError: If a file of the group is damaged.
        """
        if path.is_symlink():
            raise damage(path, "the group is a symbolic link, not a folder")
        drawing = read_drawing(
            path / ZARR, StoreDamagedError if holds_stores(path) else StoreNotFoundError
        )
        # In this order, because scenes are written before the views that need them.
        table = read_table(path / VIEWS, drawn_dtype(drawing))
        scenes = read_scenes(path / SCENES)
        check_numbers(path / VIEWS, table, len(scenes))
        return cls(path, drawing, KnownViews(scenes, table))

    @classmethod
    def begin(cls, path: Path, drawing: Mapping[str, Any]) -> "ViewGroup":
        """Return a group without views; only its folder is created.

        Raises:
            StoreDamagedError: If the path is not a folder.
        """
        if is_there(path) and (path.is_symlink() or not path.is_dir()):
            raise damage(path, "this is not a folder")
        path.mkdir(exist_ok=True)
        return cls(path, dict(drawing), KnownViews((), np.empty(0, drawn_dtype(drawing))))

    def grown_by(self, plan: ViewPlan) -> "ViewGroup":
        """Return the group with a row for each view of the plan, and write the added rows.

        The caller holds the cache's lock, so no other process can grow the group at the same time.

        Raises:
            StoreMismatchError: If the group holds a view with other parameters.
            StoreDamagedError: If a file of the group is damaged.
        """
        # Crops are recorded under the group's lock alone.
        with locked(self.path):
            return self._with(plan)

    def rows(self, plan: ViewPlan) -> Rows:
        """Return the store row of each plan row, int64 [len(plan)].

        Raises:
            StoreIncompleteError: If the group lacks views of the plan.
            StoreMismatchError: If the group holds a view with other parameters.
        """
        rows = self.known_rows(plan)
        if (rows < 0).any():
            raise StoreIncompleteError(
                f"{int((rows < 0).sum())} of the plan's {len(rows)} views were never extracted"
                + self._changed_scenes(plan),
                where=self.path,
                remedy=f"extract them: {EXTRACT}; or undo the difference",
            )
        self._check_parameters(self._numbered(plan), self.table[rows])
        return rows

    def known_rows(self, plan: ViewPlan) -> Rows:
        """Return the store row of each plan row, or -1 for a view that the group lacks; int64 [len(plan)]."""
        return find_keys(view_keys(self.table), view_keys(self._numbered(plan)))

    def crops(self, rows: Rows) -> Crcs:
        """Return the crc32 of the geometric crop at each store row, uint32; 0 if none is recorded."""
        return self._read_crops()[rows]

    def set_crops(self, rows: Rows, crcs: Crcs) -> None:
        """Record the crc32 of the geometric crops that the teachers saw.

        Raises:
            StoreMismatchError: If a recorded crop is now rendered differently: the features of two
                teachers would belong to different pixels.
        """
        with locked(self.path):
            recorded = np.array(self._read_crops())
            differs = (recorded[rows] != 0) & (recorded[rows] != crcs)
            if differs.any():
                raise StoreMismatchError(
                    f"{int(differs.sum())} crops are rendered differently than for earlier teachers, "
                    f"the first at store row {int(rows[differs][0])}",
                    where=self.path,
                    remedy="restore the files next to the images (.msk, .aux.xml), use the image library of that "
                    "time, or another cache folder",
                )
            recorded[rows] = crcs
            write_table(self.path / CROPS, recorded)

    def sweep(self) -> None:
        """Remove the temporary files of killed extractions."""
        with locked(self.path):
            for leftover in self.path.glob("*.tmp-*"):
                leftover.unlink()

    def _read_crops(self) -> Crcs:
        """Read all recorded crops; there are more than table rows if another process grew the group."""
        crops = read_table(self.path / CROPS, _CRC)
        if len(crops) < len(self.table):
            raise table_damage(
                self.path / CROPS, f"it has {len(crops)} rows for {len(self.table)} rows of views"
            )
        return crops

    def _numbered(self, plan: ViewPlan) -> Table:
        """Return the plan's table with the group's scene numbers; an unknown scene gets the next free one."""
        unknown, indices = len(self.scenes), self.known.scene_indices
        number = np.array(
            [indices.get(SceneKey.of(scene), unknown) for scene in plan.scenes] + [-1], np.int32
        )
        table = plan.table.copy()
        table["scene"] = number[plan.table["scene"]]
        table["partner_scene"] = number[plan.table["partner_scene"]]
        return table

    def _with(self, plan: ViewPlan) -> "ViewGroup":
        """Add the missing scenes and views of the plan, in plan order, and write them."""
        # A view's row is its address in every store of the group, so growth only appends scenes and views. Scene
        # numbers never change, and neither do the rows that refer to them.
        indices = self.known.scene_indices
        added = [key for scene in plan.scenes if (key := SceneKey.of(scene)) not in indices]
        views = KnownViews((*self.scenes, *added), self.table)
        grown = ViewGroup(self.path, self.drawing, views)
        table = grown._numbered(plan)
        rows = find_keys(view_keys(self.table), view_keys(table))
        self._check_parameters(table[rows >= 0], self.table[rows[rows >= 0]])
        if (rows >= 0).all() and (self.path / ZARR).exists():
            return self
        # New views begin a new segment, and no shard crosses a segment's end. So shards that were written before
        # the growth stay untouched. The gap at a segment's end costs rows of this table but no records.
        segments = KnownViews(
            views.scenes, np.concatenate([self.table, _segments(table[rows < 0])])
        )
        return ViewGroup(self.path, self.drawing, segments)._written(len(self.table))

    def _written(self, before: int) -> "ViewGroup":
        """Write the tables after a growth; the first `before` rows already have crops."""
        crops = np.zeros(len(self.table), _CRC)
        if before:
            crops[:before] = read_table(self.path / CROPS, _CRC)[:before]
        # In this order: after a kill there are more crops and scenes than the views need, never fewer, and
        # without zarr.json the folder is not a group.
        write_table(self.path / CROPS, crops)
        if not before:
            keep_copy(self.path / CROPS)  # an existing copy belongs to other rows
        for path in (copy_of(self.path / SCENES), self.path / SCENES):
            write_json(path, scenes_document(self.scenes))
        for path in (copy_of(self.path / VIEWS), self.path / VIEWS):
            write_table(path, self.table)
        if not (self.path / ZARR).exists():
            for path in (copy_of(self.path / ZARR), self.path / ZARR):
                write_json(path, group_document(self.drawing))
        return self

    def _check_parameters(self, expected: Table, recorded: Table) -> None:
        wrong = np.flatnonzero((_bytes(expected) != _bytes(recorded)).any(axis=1))
        if len(wrong):
            first = int(wrong[0])
            lines = differences(_fields(expected[first]), _fields(recorded[first]))
            raise StoreMismatchError(
                f"{len(wrong)} views have other parameters in the cache than in the plan; the first: "
                + "; ".join(lines),
                where=self.path / VIEWS,
                remedy="use another cache folder: another version drew the views of this cache",
            )

    def _changed_scenes(self, plan: ViewPlan) -> str:
        """Describe the plan's scenes that are new or whose image changed since extraction."""
        ids = {key.id for key in self.scenes}
        changed = [
            scene.id
            for scene in plan.scenes
            if scene.id in ids and SceneKey.of(scene) not in self.known.scene_indices
        ]
        added = sum(scene.id not in ids for scene in plan.scenes)
        parts = [f"{added} scenes are new"] if added else []
        if changed:
            parts.append(
                f"{len(changed)} scenes have other bytes or sizes ({', '.join(changed[:3])})"
            )
        return f": {'; '.join(parts)}" if parts else ""


def holds_stores(group: Path) -> bool:
    """Return whether a group's folder contains folders of stores."""
    if not group.is_dir():
        return False
    with os.scandir(group) as items:
        return any(
            item.is_dir(follow_symlinks=False) and STORE_NAME.fullmatch(item.name) for item in items
        )


def _segments(added: Table) -> Table:
    """Pad views with gaps to whole segments."""
    table = np.zeros(-(-len(added) // SEGMENT_ROWS) * SEGMENT_ROWS, added.dtype)
    table["scene"] = table["partner_scene"] = -1
    table[: len(added)] = added
    return table


def scenes_document(scenes: Sequence[SceneKey]) -> dict[str, Any]:
    """Return the content of `scenes.json`."""
    return SCENES_FORMAT.sealed({"scenes": [key.to_json() for key in scenes]})


def group_document(drawing: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a group's `zarr.json`."""
    attributes = {"rsmtdf": FORMAT.sealed({"drawing": drawing})}
    return {"zarr_format": 3, "node_type": "group", "attributes": attributes}


def read_drawing(file: Path, absent: type[StoreError] = StoreDamagedError) -> dict[str, Any]:
    """Read the drawing of a group's views from its `zarr.json`.

    Raises:
        StoreError: Of type `absent`, if the file is missing.
        StoreDamagedError: If the file is damaged.
    """
    document, attributes = read_attributes(FORMAT, file, absent)
    drawing = attributes.get("drawing")
    if not isinstance(drawing, dict) or document != group_document(drawing):
        raise damage(file, "the group's metadata is inconsistent")
    return drawing


def check_numbers(path: Path, table: Table, scenes: int) -> None:
    """Refuse a table with scene or view numbers out of range.

    Args:
        path: the table's file, for errors.
        table: the views.
        scenes: number of scenes.

    Raises:
        StoreDamagedError: If a number is out of range.
    """
    scene, partner, number = table["scene"], table["partner_scene"], table["number"]
    for column, limit in ((scene, scenes), (partner, scenes), (number, _MOST_NUMBERS)):
        least = 0 if column is number else -1
        if len(column) and not (least <= column.min() and column.max() < limit):
            raise table_damage(path, "it has scene or view numbers out of range")


def read_scenes(file: Path) -> tuple[SceneKey, ...]:
    """Read the scenes from a group's `scenes.json`.

    Raises:
        StoreDamagedError: If the file is missing or damaged.
    """
    document = SCENES_FORMAT.unsealed(read_json(file, StoreDamagedError), file)
    try:
        return tuple(
            SceneKey(name, sha256, width, height, None if window is None else tuple(window))
            for name, sha256, width, height, window in document["scenes"]
        )
    except (KeyError, TypeError, ValueError) as wrong:
        raise damage(file, f"{SCENES} cannot be read: {wrong!r}") from None


def _bytes(table: Table) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(table).view(np.uint8).reshape(len(table), table.itemsize)


def _fields(view: np.void) -> dict[str, Any]:
    return {name: view[name].tolist() for name in view.dtype.names or ()}
