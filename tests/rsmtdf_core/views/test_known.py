from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.views.known import KnownViews, SceneKey, find_keys, view_keys
from rsmtdf_core.views.plan import VIEW_DTYPE, ViewPlan, make_plan
from rsmtdf_core.views.settings import ViewSettings

SETTINGS = ViewSettings(crop=56, unlabeled_views=2, labeled_views=2)
SCENES = [Scene(f"s{n:03}", f"{n}.png", f"m{n}.png", 90, 70, sha256=f"{n:064x}") for n in range(16)]


class Cache:
    """An in-memory version of a group, which appends missing views of plans."""

    def __init__(self) -> None:
        self.views = KnownViews((), np.empty(0, VIEW_DTYPE))

    def grow(self, plan: ViewPlan) -> None:
        scenes = list(self.views.scenes)
        indices = dict(self.views.scene_indices)
        for scene in plan.scenes:
            key = SceneKey.of(scene)
            if key not in indices:
                indices[key] = len(scenes)
                scenes.append(key)
        number = np.array([indices[SceneKey.of(scene)] for scene in plan.scenes] + [-1], np.int32)
        table = plan.table.copy()
        table["scene"], table["partner_scene"] = (
            number[table["scene"]],
            number[table["partner_scene"]],
        )
        new = table[find_keys(view_keys(self.views.table), view_keys(table)) < 0]
        self.views = KnownViews(tuple(scenes), np.concatenate([self.views.table, new]))


def draw(labeled: list[Scene], unlabeled: list[Scene], cache: Cache | None = None) -> ViewPlan:
    return make_plan(labeled, unlabeled, SETTINGS, 0, cache.views if cache else None)


def pairs(plan: ViewPlan, number: int) -> set[frozenset[str]]:
    return {
        frozenset(plan.scenes[plan[row].scene].id for row in pair)
        for pair in plan.unlabeled_pairs(number).tolist()
    }


def test_a_known_plan_is_drawn_again_to_the_byte() -> None:
    plan = draw(SCENES[:4], SCENES[4:])
    cache = Cache()
    cache.grow(plan)
    assert draw(SCENES[:4], SCENES[4:], cache).fingerprint == plan.fingerprint


def test_partners_of_added_scenes_are_found_among_the_added() -> None:
    small = draw(SCENES[:2], SCENES[2:10])
    cache = Cache()
    cache.grow(small)
    large = draw(SCENES[:2], SCENES[2:], cache)
    for number in range(2):
        assert pairs(small, number) < pairs(large, number)
        added = pairs(large, number) - pairs(small, number)
        assert {name for pair in added for name in pair} == {scene.id for scene in SCENES[10:]}
    cache.grow(large)
    assert len(cache.views.table) == len(large)


def test_known_parameters_are_taken_as_they_are() -> None:
    plan = draw(SCENES[:2], SCENES[2:6])
    table = plan.table.copy()
    table["left"] += 1
    cache = Cache()
    cache.grow(replace(plan, table=table))
    assert (draw(SCENES[:2], SCENES[2:6], cache).table["left"] == table["left"]).all()


def test_a_changed_image_is_another_scene() -> None:
    plan = draw([], SCENES[:6])
    cache = Cache()
    cache.grow(plan)
    edited = [replace(SCENES[0], sha256="f" * 64), *SCENES[1:6]]
    cache.grow(draw([], edited, cache))
    assert len(cache.views.scenes) == 7
    # The edited scene, and the scene that lost it as its partner, of each of the two numbers.
    assert len(cache.views.table) == 12 + 4


def test_a_scene_that_becomes_labeled_leaves_most_pairs_alone() -> None:
    before, cache = draw(SCENES[:2], SCENES[2:]), Cache()
    cache.grow(before)
    after = draw(SCENES[:4], SCENES[4:], cache)
    for number in range(2):
        assert len(pairs(before, number) & pairs(after, number)) >= 5


subsets = st.lists(st.sets(st.integers(0, 15), min_size=1), min_size=1, max_size=6)


@settings(max_examples=60)
@given(subsets)
def test_a_plan_once_known_never_changes_whatever_comes_later(chosen: list[set[int]]) -> None:
    cache = Cache()
    drawn = []
    for subset in chosen:
        scenes = [SCENES[n] for n in sorted(subset)]
        plan = draw([], scenes, cache)
        cache.grow(plan)
        drawn.append((scenes, plan.fingerprint))
        assert all(draw([], old, cache).fingerprint == fingerprint for old, fingerprint in drawn)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_partners_are_mutual_whatever_is_known(count: int) -> None:
    cache = Cache()
    cache.grow(draw([], SCENES[:count]))
    plan = draw([], SCENES[:9], cache)
    for number in range(2):
        for left, right in plan.unlabeled_pairs(number).tolist():
            assert (plan[left].partner, plan[right].partner) == (right, left)
