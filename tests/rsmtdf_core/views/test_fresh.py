"""Fresh views are the views that a plan with more views per scene would have."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.views.plan import make_plan
from rsmtdf_core.views.settings import FRESH, ViewSettings

SCENES = [Scene(f"s/{i:03}", "i.png", "m.png", 90, 70, None, f"{i:064x}") for i in range(12)]
SETTINGS = ViewSettings(crop=56, vertical_flip=0.5, quarter_turns=1, cutmix={"p": 0.8})


def plan_of(labeled, unlabeled, labeled_views, unlabeled_views, seed=0):
    counts = {"labeled_views": labeled_views, "unlabeled_views": unlabeled_views}
    scenes = SCENES[:labeled], SCENES[labeled : labeled + unlabeled]
    return make_plan(*scenes, SETTINGS.model_copy(update=counts), seed)


def rows_of(plan, turn):
    return [*plan.labeled_rows(turn).tolist(), *plan.unlabeled_pairs(turn).ravel().tolist()]


def without_rows(plan, rows):
    """Every field of the views but their rows; of partners their scenes."""
    return [
        (
            replace(plan[row], row=0, partner=0),
            plan[plan[row].partner].scene if plan[row].partner >= 0 else None,
        )
        for row in rows
    ]


@given(
    labeled=st.integers(0, 4),
    unlabeled=st.integers(0, 7),
    views=st.sampled_from([(FRESH, FRESH), (FRESH, 2), (3, FRESH)]),
    seed=st.integers(0, 99),
)
def test_fresh_views_are_those_of_a_longer_plan(labeled, unlabeled, views, seed):
    fresh, planned = (
        plan_of(labeled, unlabeled, *views, seed),
        plan_of(labeled, unlabeled, 5, 5, seed),
    )
    assert fresh.address == planned.address
    for turn in range(5):
        for role, count in zip(("labeled_rows", "unlabeled_pairs"), views, strict=True):
            rows, others = (getattr(plan, role)(turn) for plan in (fresh, planned))
            assert rows.shape == others.shape
            if count == FRESH:
                assert without_rows(fresh, rows.ravel().tolist()) == without_rows(
                    planned, others.ravel().tolist()
                )
                assert all(fresh.is_fresh(row) for row in rows.ravel().tolist())
            else:
                repeated = getattr(fresh, role)(turn % count)
                assert rows.tolist() == repeated.tolist()
    if views == (FRESH, FRESH):
        assert len(fresh) == 0
        every = range((labeled + unlabeled) * 5)
        assert [fresh[row] for row in every] == list(planned)


def test_no_fresh_row_returns_and_partners_are_mutual():
    plan = plan_of(3, 7, FRESH, FRESH)
    rows = [row for turn in range(200) for row in rows_of(plan, turn)]
    assert len(set(rows)) == len(rows) == 200 * 9
    for turn in (0, 1, 150):
        for left, right in plan.unlabeled_pairs(turn).tolist():
            assert (plan[left].partner, plan[right].partner) == (right, left)
            assert {plan[left].number, plan[right].number} == {turn}
    geometries = {plan[row].geometry for row in rows if plan[row].labeled}
    assert len(geometries) > 500


def test_a_row_gives_the_same_view_in_any_order_and_process():
    plan = plan_of(3, 7, FRESH, 2)
    rows = [row for turn in range(6) for row in rows_of(plan, turn)]
    views = [plan[row] for row in rows]
    other = pickle.loads(pickle.dumps(plan_of(3, 7, FRESH, 2)))
    order = np.random.default_rng(0).permutation(len(rows)).tolist()
    assert {i: other[rows[i]] for i in order} == dict(enumerate(views))
    assert [view.row for view in views] == rows


def test_fresh_views_are_no_part_of_the_table():
    plan = plan_of(3, 7, FRESH, 2)
    assert len(plan) == len(list(plan)) == 2 * 7
    assert not plan.table["labeled"].any()
    assert not any(plan.is_fresh(row) for row in range(len(plan)))
    for outside in (-1, len(plan_of(3, 7, 2, 2))):
        with pytest.raises(IndexError):
            plan_of(3, 7, 2, 2)[outside]
    with pytest.raises(IndexError):
        plan[-1]


def test_the_fingerprint_depends_on_the_roles_of_fresh_scenes():
    plans = [
        plan_of(3, 7, FRESH, FRESH),
        plan_of(4, 6, FRESH, FRESH),
        plan_of(3, 7, 2, FRESH),
        plan_of(3, 7, FRESH, 2),
        plan_of(3, 7, 2, 2),
        plan_of(3, 7, FRESH, FRESH, seed=1),
    ]
    assert len({plan.fingerprint for plan in plans}) == len(plans)
    assert len({plan.address for plan in plans}) == 2
    assert plan_of(3, 7, FRESH, FRESH).fingerprint == plans[0].fingerprint
