"""Repair the files of a group (tests: test_remedies.py).

Without its views, the records of a group's stores are meaningless.
"""

from functools import partial
from pathlib import Path

import numpy as np

from pipeline.cache.repair.changes import Changes, first_sound
from pipeline.plan import Experiment
from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.files import json_bytes
from rsmtdf_core.store.copies import copy_of
from rsmtdf_core.store.group import (
    CROPS,
    SCENES,
    VIEWS,
    ViewGroup,
    check_numbers,
    group_document,
    read_drawing,
    read_scenes,
    scenes_document,
)
from rsmtdf_core.store.metadata import ZARR
from rsmtdf_core.store.tables import read_table, table_bytes
from rsmtdf_core.views.known import KnownViews, SceneKey, Table
from rsmtdf_core.views.plan import drawn_dtype

_CRC = np.dtype(np.uint32)


def repair_group(
    path: Path, rows: int, changes: Changes, experiment: Experiment | None
) -> ViewGroup | None:
    """Repair the files of the group at `path`, or set the whole group aside.

    Args:
        path: the group's folder.
        rows: the largest number of rows in any of its stores.
        changes: records and takes the steps.
        experiment: the experiment of the given config. If the group is named by its plan's address, the plan
            determines `zarr.json` and `scenes.json`.

    Returns:
        The repaired group, or None if it was set aside.
    """
    drawing = first_sound(path / ZARR, read_drawing, changes)
    scenes = first_sound(path / SCENES, read_scenes, changes)
    if experiment is not None and f"views-{experiment.plan.address[:16]}" == path.name:
        if drawing is None:
            drawing = experiment.plan.drawing
            content = json_bytes(group_document(drawing))
            changes.rebuild(
                path / ZARR, content, "the file and its copy are damaged; the config determines it"
            )
        if scenes is None:
            scenes = tuple(SceneKey.of(scene) for scene in experiment.plan.scenes)
            content = json_bytes(scenes_document(scenes))
            changes.rebuild(
                path / SCENES,
                content,
                "the file and its copy are damaged; the config determines it",
            )
    table = None
    names: dict[str, object] = {ZARR: drawing, SCENES: scenes}
    if drawing is not None:  # it determines the fields of the views
        table = _table(
            path, drawn_dtype(drawing), rows, 0 if scenes is None else len(scenes), changes
        )
        names[VIEWS] = table
    if drawing is None or scenes is None or table is None:
        lost = ", ".join(name for name, value in names.items() if value is None)
        changes.set_aside(
            path,
            f"the files and their copies are damaged: {lost}",
            "all stores of these views: extract their features again",
        )
        return None
    group = ViewGroup(path, drawing, KnownViews(scenes, table))
    _repair_crops(group, changes)
    return group


def _table(
    path: Path, dtype: np.dtype[np.void], rows: int, scenes: int, changes: Changes
) -> Table | None:
    """Read the views; restore the copy of a table that has fewer rows than the stores."""

    def read(file: Path, least: int = rows) -> Table:
        table = read_table(file, dtype)
        check_numbers(file, table, scenes)
        if len(table) < least:
            raise StoreDamagedError(
                f"it has {len(table)} rows, and a store has {least}", where=file
            )
        return table

    table = first_sound(path / VIEWS, read, changes)
    # Stores with more rows than either table are set aside later.
    return first_sound(path / VIEWS, partial(read, least=0), changes) if table is None else table


def _repair_crops(group: ViewGroup, changes: Changes) -> None:
    path, rows = group.path / CROPS, len(group.table)
    try:
        crops = read_table(path, _CRC)
        if len(crops) >= rows:
            changes.copy(path)
            return
        why = f"it has {len(crops)} rows, and there are {rows} views"
    except StoreDamagedError as damage:
        why = damage.what
        try:
            crops = read_table(copy_of(path), _CRC)
        except StoreDamagedError:
            crops = np.zeros(0, _CRC)
    # The copy may be older. Views whose rows it lacks are rendered again.
    restored = np.zeros(rows, _CRC)
    restored[: len(crops)] = crops[:rows]
    views = group.table["scene"] >= 0
    unknown = int((restored[views] == 0).sum())
    loss = f"{unknown} crops' checksums: extraction repeats these views"
    changes.rebuild(path, table_bytes(restored), why, loss if unknown else "")
