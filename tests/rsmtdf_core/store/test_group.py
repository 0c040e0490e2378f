import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rsmtdf_core.cache.group import grow_group, require_group
from rsmtdf_core.errors import (
    StoreDamagedError,
    StoreMismatchError,
)
from rsmtdf_core.store.group import CROPS, SCENES, VIEWS
from rsmtdf_core.store.locks import is_locked, locked
from rsmtdf_core.store.tables import SEGMENT_ROWS
from rsmtdf_core.views.plan import VIEW_DTYPE, ViewPlan


def test_each_view_has_a_row_with_its_parameters(tmp_path: Path, make) -> None:
    plan = make()
    grow_group(tmp_path, plan)
    group = require_group(tmp_path, plan)
    rows = group.rows(plan)
    assert len(set(rows.tolist())) == len(plan)
    assert (group.table[rows] == plan.table).all()
    assert len(group.table) == SEGMENT_ROWS
    assert (np.delete(group.table["scene"], rows) == -1).all()


@pytest.mark.parametrize("on", [{"vertical_flip": 0.5}, {"vertical_flip": 0.5, "quarter_turns": 1}])
def test_orientations_have_fields_of_the_table_that_other_groups_lack(
    tmp_path: Path, make, on
) -> None:
    plain, oriented = make(), make(**on)
    group = grow_group(tmp_path, oriented)
    grown = grow_group(tmp_path, make(5, **on))
    opened = require_group(tmp_path, oriented)
    assert opened.path == group.path == grown.path
    assert opened.table.dtype.names == (*VIEW_DTYPE.names, *on)
    assert (opened.table[opened.rows(oriented)] == oriented.table).all()
    other = grow_group(tmp_path, plain)
    assert other.path != group.path
    assert np.load(other.path / VIEWS).dtype == VIEW_DTYPE


def test_growth_moves_no_row_and_starts_a_segment(tmp_path: Path, make) -> None:
    small, large = make(2), make(5)
    first = grow_group(tmp_path, small)
    before, rows = first.table.tobytes(), first.rows(small)
    grown = grow_group(tmp_path, large)
    assert grown.path == first.path
    assert grown.table.tobytes().startswith(before)
    assert np.array_equal(grown.rows(small), rows)
    new = np.setdiff1d(grown.rows(large), rows)
    assert new.min() == SEGMENT_ROWS
    assert len(new) == len(large) - len(small)


def test_opening_again_changes_no_byte(tmp_path: Path, make) -> None:
    group = grow_group(tmp_path, make())
    before = {path.name: path.read_bytes() for path in group.path.iterdir()}
    grow_group(tmp_path, make())
    assert {path.name: path.read_bytes() for path in group.path.iterdir()} == before


def test_a_view_drawn_differently_is_refused_with_the_differences(tmp_path: Path, make) -> None:
    plan = make()
    grow_group(tmp_path, plan)
    table = plan.table.copy()
    table["left"][3] += 1
    with pytest.raises(StoreMismatchError, match=r"1 views .* left: expected"):
        grow_group(tmp_path, replace(plan, table=table))


def test_crops_are_kept_through_growth_and_never_change(tmp_path: Path, make) -> None:
    plan = make(2)
    group = grow_group(tmp_path, plan)
    rows = group.rows(plan)
    assert not group.crops(rows).any()
    crcs = np.arange(1, len(plan) + 1, dtype=np.uint32)
    group.set_crops(rows, crcs)
    grown = grow_group(tmp_path, make(5))
    assert np.array_equal(grown.crops(rows), crcs)
    group.set_crops(rows[:1], crcs[:1])  # by a process that opened the group before it grew
    assert len(grown.crops(grown.rows(make(5)))) == 45
    with pytest.raises(StoreMismatchError, match="2 crops"):
        group.set_crops(rows[:3], crcs[:3] + np.array([0, 1, 1], np.uint32))


def _crops(cache: Path, plan: ViewPlan) -> np.ndarray:
    group = require_group(cache, plan)
    return group.crops(group.rows(plan))


@pytest.mark.parametrize("name", [VIEWS, CROPS])
@pytest.mark.parametrize("damage", ["gone", "short", "lying header", "pickle", "other type"])
def test_damaged_tables_are_refused(tmp_path: Path, make, name: str, damage: str) -> None:
    plan = make()
    path = grow_group(tmp_path, plan).path / name
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "short":
        path.write_bytes(whole[:-1])
    elif damage == "lying header":
        path.write_bytes(
            whole.replace(b"(512,)", b"(9999999999999,)").replace(b"          ", b"", 1)
        )
    elif damage == "pickle":
        path.write_bytes(b"\x80\x04.")
    else:
        np.save(path, np.zeros(SEGMENT_ROWS, np.float64))
    with pytest.raises(StoreDamagedError, match=name):
        _crops(tmp_path, plan)


@pytest.mark.parametrize("name", ["zarr.json", SCENES, VIEWS, CROPS])
def test_a_flipped_byte_is_found_at_any_position(tmp_path: Path, make, name: str) -> None:
    plan = make()
    path = grow_group(tmp_path, plan).path / name
    whole = path.read_bytes()
    for position in range(0, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        with pytest.raises(StoreDamagedError, match=name):
            _crops(tmp_path, plan)


def test_the_second_writer_waits_for_the_first(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    waited = threading.Event()
    order = []

    def second() -> None:
        with locked(tmp_path, waited.set):
            order.append("second")

    thread = threading.Thread(target=second)
    with locked(tmp_path):
        assert is_locked(tmp_path)
        thread.start()
        waited.wait()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert not is_locked(tmp_path)
