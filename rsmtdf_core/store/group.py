"""The group: all that a cache knows about the views of some scenes, shared by every teacher's store.

It gives each view a row that never changes. Views that a larger plan adds, with more views a scene,
more scenes or other roles, go into new segments, so that no shard ever holds old and new views and
nothing written is moved.
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
from rsmtdf_core.views.plan import VIEW_DTYPE, ViewPlan

VIEWS = "views.npy"
CROPS = "crops.npy"
SCENES = "scenes.json"
FORMAT = FileFormat("group of stores")
SCENES_FORMAT = FileFormat("list of scenes")
_CRC = np.dtype(np.uint32)
_MOST_NUMBERS = 2**20  # so many has a view key room for

Crcs = npt.NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class ViewGroup:
    """Views of one way of drawing (settings, seed) in store-row order.

    Attributes:
        path: the group's folder.
        drawing: the settings and the seed, as `plan.drawing_fields` gives them.
        known: the scenes in the order in which they came, and the views: VIEW_DTYPE [store rows], whole
            segments, rows that stand for no view with scene -1.
    """

    path: Path
    drawing: dict[str, Any]
    known: KnownViews

    @property
    def scenes(self) -> tuple[SceneKey, ...]:
        """The scenes that the table's numbers stand for."""
        return self.known.scenes

    @property
    def table(self) -> Table:
        """The views."""
        return self.known.table

    @classmethod
    def at(cls, path: Path) -> "ViewGroup":
        """The group in a folder as it is; nothing is written.

        Raises:
            StoreNotFoundError: where there is none.
            StoreDamagedError: where a file of the group is not what was written.
        """
        if path.is_symlink():
            raise damage(path, "the group is a symbolic link, not a folder")
        drawing = read_drawing(
            path / ZARR, StoreDamagedError if holds_stores(path) else StoreNotFoundError
        )
        # In this order, as scenes are written before the views that need them.
        table = read_table(path / VIEWS, VIEW_DTYPE)
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
        return cls(path, dict(drawing), KnownViews((), np.empty(0, VIEW_DTYPE)))

    def grown_by(self, plan: ViewPlan) -> "ViewGroup":
        """Return the group with a row for each view of the plan, and write the added rows.

        The caller holds the cache's lock, so the group cannot grow in another process meanwhile.

        Raises:
            StoreMismatchError: If the group holds a view with other parameters.
            StoreDamagedError: If a file of the group is damaged.
        """
        # Crops are recorded under the group's lock alone.
        with locked(self.path):
            return self._with(plan)

    def rows(self, plan: ViewPlan) -> Rows:
        """The store row of each plan row, int64 [len(plan)].

        Raises:
            StoreIncompleteError: where the group lacks views of the plan.
            StoreMismatchError: where a view is here with other parameters.
        """
        rows = self.known_rows(plan)
        if (rows < 0).any():
            raise StoreIncompleteError(
                f"{int((rows < 0).sum())} of the plan's {len(rows)} views were never extracted"
                + self._changed_scenes(plan),
                where=self.path,
                remedy=f"make them: {EXTRACT}; or undo what differs",
            )
        self._check_parameters(self._numbered(plan), self.table[rows])
        return rows

    def known_rows(self, plan: ViewPlan) -> Rows:
        """The store row of each plan row, -1 where the group lacks the view; int64 [len(plan)]."""
        return find_keys(view_keys(self.table), view_keys(self._numbered(plan)))

    def crops(self, rows: Rows) -> Crcs:
        """The crc32 of the geometric crop at each store row, uint32; 0 where none is recorded."""
        return self._read_crops()[rows]

    def set_crops(self, rows: Rows, crcs: Crcs) -> None:
        """Record the crc32 of the geometric crops that the teachers saw.

        Raises:
            StoreMismatchError: where a crop was recorded before and is now rendered differently:
                the features of two teachers would belong to different pixels.
        """
        with locked(self.path):
            known = np.array(self._read_crops())
            differs = (known[rows] != 0) & (known[rows] != crcs)
            if differs.any():
                raise StoreMismatchError(
                    f"{int(differs.sum())} crops are not rendered as they were for other teachers, "
                    f"the first at store row {int(rows[differs][0])}",
                    where=self.path,
                    remedy="restore the files beside the images (.msk, .aux.xml), use the image library of that time, "
                    "or another cache folder",
                )
            known[rows] = crcs
            write_table(self.path / CROPS, known)

    def sweep(self) -> None:
        """Remove the temporary files of extractions that were killed."""
        with locked(self.path):
            for leftover in self.path.glob("*.tmp-*"):
                leftover.unlink()

    def _read_crops(self) -> Crcs:
        """All recorded crops; more than the table has where the group has grown meanwhile."""
        crops = read_table(self.path / CROPS, _CRC)
        if len(crops) < len(self.table):
            raise table_damage(
                self.path / CROPS, f"{len(crops)} rows are fewer than the {len(self.table)} views'"
            )
        return crops

    def _numbered(self, plan: ViewPlan) -> Table:
        """The plan's table with scenes numbered as they are here; one that is not here is beyond all."""
        beyond, places = len(self.scenes), self.known.scene_indices
        number = np.array(
            [places.get(SceneKey.of(scene), beyond) for scene in plan.scenes] + [-1], np.int32
        )
        table = plan.table.copy()
        table["scene"] = number[plan.table["scene"]]
        table["partner_scene"] = number[plan.table["partner_scene"]]
        return table

    def _with(self, plan: ViewPlan) -> "ViewGroup":
        """The group with the plan's scenes and views that it lacks, in plan order, on disk too."""
        # A view's row is its address in every store of the group, so growth only appends: scenes behind the scenes,
        # views behind the views. Numbers of scenes stay, and so do the rows that name them.
        here = self.known.scene_indices
        added = [key for scene in plan.scenes if (key := SceneKey.of(scene)) not in here]
        views = KnownViews((*self.scenes, *added), self.table)
        grown = ViewGroup(self.path, self.drawing, views)
        table = grown._numbered(plan)
        rows = find_keys(view_keys(self.table), view_keys(table))
        self._check_parameters(table[rows >= 0], self.table[rows[rows >= 0]])
        if (rows >= 0).all() and (self.path / ZARR).exists():
            return self
        # New views begin a new segment, and a shard never reaches over the end of one. So shards that were written
        # before the growth stay untouched. The gaps at a segment's end take rows of this table and no records.
        segments = KnownViews(
            views.scenes, np.concatenate([self.table, _segments(table[rows < 0])])
        )
        return ViewGroup(self.path, self.drawing, segments)._written(len(self.table))

    def _written(self, before: int) -> "ViewGroup":
        """Write what grew; `before` rows had crops already."""
        crops = np.zeros(len(self.table), _CRC)
        if before:
            crops[:before] = read_table(self.path / CROPS, _CRC)[:before]
        # In this order, whenever it ends: crops and scenes may be more than the views need, never
        # fewer, and without its zarr.json the folder is no group.
        write_table(self.path / CROPS, crops)
        if not before:
            keep_copy(self.path / CROPS)  # one that is there belongs to other rows
        for path in (copy_of(self.path / SCENES), self.path / SCENES):
            write_json(path, scenes_document(self.scenes))
        for path in (copy_of(self.path / VIEWS), self.path / VIEWS):
            write_table(path, self.table)
        if not (self.path / ZARR).exists():
            for path in (copy_of(self.path / ZARR), self.path / ZARR):
                write_json(path, group_document(self.drawing))
        return self

    def _check_parameters(self, expected: Table, found: Table) -> None:
        wrong = np.flatnonzero((_bytes(expected) != _bytes(found)).any(axis=1))
        if len(wrong):
            first = int(wrong[0])
            lines = differences(_fields(expected[first]), _fields(found[first]))
            raise StoreMismatchError(
                f"{len(wrong)} views have other parameters here than in the plan; the first: "
                + "; ".join(lines),
                where=self.path / VIEWS,
                remedy="use another cache folder: this one's views were drawn by another version",
            )

    def _changed_scenes(self, plan: ViewPlan) -> str:
        """What to say of scenes whose image is another one than when features were made."""
        here = {key.id: key for key in self.scenes}
        changed = [
            scene.id
            for scene in plan.scenes
            if scene.id in here and SceneKey.of(scene) not in self.known.scene_indices
        ]
        added = sum(scene.id not in here for scene in plan.scenes)
        parts = [f"{added} scenes are new"] if added else []
        if changed:
            parts.append(
                f"{len(changed)} scenes have other bytes or sizes ({', '.join(changed[:3])})"
            )
        return f": {'; '.join(parts)}" if parts else ""


def holds_stores(group: Path) -> bool:
    """Whether a group's folder has folders of stores."""
    if not group.is_dir():
        return False
    with os.scandir(group) as items:
        return any(
            item.is_dir(follow_symlinks=False) and STORE_NAME.fullmatch(item.name) for item in items
        )


def _segments(added: Table) -> Table:
    """Whole segments that begin with the views given and end with gaps."""
    table = np.zeros(-(-len(added) // SEGMENT_ROWS) * SEGMENT_ROWS, VIEW_DTYPE)
    table["scene"] = table["partner_scene"] = -1
    table[: len(added)] = added
    return table


def scenes_document(scenes: Sequence[SceneKey]) -> dict[str, Any]:
    """The content of `scenes.json`."""
    return SCENES_FORMAT.sealed({"scenes": [key.to_json() for key in scenes]})


def group_document(drawing: dict[str, Any]) -> dict[str, Any]:
    """The content of a group's `zarr.json`."""
    own = FORMAT.sealed({"drawing": drawing})
    return {"zarr_format": 3, "node_type": "group", "attributes": {"rsmtdf": own}}


def read_drawing(file: Path, absent: type[StoreError] = StoreDamagedError) -> dict[str, Any]:
    """How views are drawn, as a group's `zarr.json` says; `absent` is raised for a missing file.

    Raises:
        StoreDamagedError: where the file is not what was written.
    """
    document, own = read_attributes(FORMAT, file, absent)
    drawing = own.get("drawing")
    if not isinstance(drawing, dict) or document != group_document(drawing):
        raise damage(file, "the group's metadata is inconsistent")
    return drawing


def check_numbers(path: Path, table: Table, scenes: int) -> None:
    """Refuse a table that names scenes which are not there, or numbers that no view has.

    Raises:
        StoreDamagedError: naming `path`.
    """
    own, partner, number = table["scene"], table["partner_scene"], table["number"]
    for found, limit in ((own, scenes), (partner, scenes), (number, _MOST_NUMBERS)):
        least = 0 if found is number else -1
        if len(found) and not (least <= found.min() and found.max() < limit):
            raise table_damage(path, "it names scenes or views that cannot be")


def read_scenes(file: Path) -> tuple[SceneKey, ...]:
    """The scenes that a group's `scenes.json` lists.

    Raises:
        StoreDamagedError: where the file is missing or not what was written.
    """
    own = SCENES_FORMAT.unsealed(read_json(file, StoreDamagedError), file)
    try:
        return tuple(
            SceneKey(name, sha256, width, height, None if window is None else tuple(window))
            for name, sha256, width, height, window in own["scenes"]
        )
    except (KeyError, TypeError, ValueError) as wrong:
        raise damage(file, f"{SCENES} cannot be read: {wrong!r}") from None


def _bytes(table: Table) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(table).view(np.uint8).reshape(len(table), VIEW_DTYPE.itemsize)


def _fields(view: np.void) -> dict[str, Any]:
    return {name: view[name].tolist() for name in view.dtype.names or ()}
