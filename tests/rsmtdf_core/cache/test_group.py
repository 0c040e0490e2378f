from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rsmtdf_core.cache.group import grow_group, require_group
from rsmtdf_core.errors import StoreIncompleteError, StoreNotFoundError
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.store.tables import SEGMENT_ROWS
from rsmtdf_core.views.plan import ViewPlan, make_plan


def test_a_plan_that_was_not_extracted_is_refused(tmp_path: Path, make) -> None:
    with pytest.raises(StoreNotFoundError, match="cache is empty"):
        require_group(tmp_path, make())
    grow_group(tmp_path, make(2))
    with pytest.raises(StoreIncompleteError, match="27 of the plan's 45"):
        require_group(tmp_path, make(5)).rows(make(5))


def test_other_scenes_drawn_the_same_way_make_a_separate_group(tmp_path: Path, make) -> None:
    first = grow_group(tmp_path, make(scenes=3))
    others = [replace(scene, sha256=f"{n:063x}f") for n, scene in enumerate(make().scenes)]
    other = make_plan(others[:2], others[2:], make().settings, 0)
    with pytest.raises(StoreNotFoundError, match="of other scenes"):
        require_group(tmp_path, other)
    assert grow_group(tmp_path, other).path != first.path


def test_more_scenes_grow_the_group_that_has_most_of_them(tmp_path: Path, make) -> None:
    small = grow_group(tmp_path, make(scenes=6))
    before = small.table.tobytes()
    known = make_plan_of(small, make(scenes=10))
    grown = grow_group(tmp_path, known)
    assert grown.path == small.path
    assert grown.table.tobytes().startswith(before)
    assert [key.id for key in grown.scenes] == [f"s{n:03}" for n in range(10)]
    assert np.array_equal(grown.rows(make(scenes=6)), small.rows(make(scenes=6)))
    assert grown.rows(known).min() < SEGMENT_ROWS < grown.rows(known).max()


def make_plan_of(group: ViewGroup, plan: ViewPlan) -> ViewPlan:
    """The plan as it is drawn once the group is known."""
    labeled = [plan.scenes[n] for n in plan.labeled_scenes]
    unlabeled = [plan.scenes[n] for n in plan.unlabeled_scenes]
    return make_plan(labeled, unlabeled, plan.settings, plan.seed, group.known)


def test_an_edited_image_is_named(tmp_path: Path, make) -> None:
    plan = make()
    grow_group(tmp_path, plan)
    scenes = [replace(plan.scenes[0], sha256="f" * 64), *plan.scenes[1:]]
    edited = make_plan(scenes[:2], scenes[2:], plan.settings, 0)
    with pytest.raises(StoreIncompleteError, match=r"1 scenes have other bytes or sizes \(s000\)"):
        require_group(tmp_path, edited).rows(edited)
