import numpy as np
import pytest

from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.training.strong import change_of, mix, pasted_pixels
from rsmtdf_core.views.plan import make_plan
from rsmtdf_core.views.settings import CutMixSettings, ViewSettings

CROP = 32


def _plan(sees="mixed"):
    scenes = [Scene(f"s{i:02d}", f"{i}.png", None, 64, 64) for i in range(14)]
    settings = ViewSettings(crop=CROP, cutmix=CutMixSettings(p=0.5), teacher_sees=sees)
    return make_plan(scenes[:2], scenes[2:], settings, seed=0)


@pytest.mark.parametrize("sees", ["mixed", "strong", "weak"])
def test_the_first_strong_view_is_the_plans_and_fresh_only_if_teachers_saw_geometry_alone(sees):
    plan = _plan(sees)
    for row in plan.unlabeled_pairs(0).reshape(-1).tolist():
        first, later = (change_of(plan, row, epoch, 0) for epoch in (0, 1))
        assert first.box == later.box == plan[row].box
        assert (first.photometric is None) == (sees != "weak")
        assert (first == later) == (sees != "weak")


def test_a_further_view_has_separate_repeatable_draws_in_each_epoch():
    plan = _plan()
    rows = plan.unlabeled_pairs(0).reshape(-1).tolist()
    second = [change_of(plan, row, 0, 1) for row in rows]
    assert second == [change_of(plan, row, 0, 1) for row in rows]
    assert all(
        change.photometric != change_of(plan, row, 1, 1).photometric
        for change, row in zip(second, rows, strict=True)
    )
    assert [change.box for change in second] != [plan[row].box for row in rows]
    assert any(change.box for change in second)
    assert not all(change.box for change in second)


def test_views_show_their_partners_exactly_at_the_pasted_pixels():
    plan = _plan()
    rows = plan.unlabeled_pairs(0).reshape(-1).tolist()

    def strong(index, _change):
        return np.full((CROP, CROP, 3), index, np.uint8)

    for number in (0, 1):
        views = mix(plan, rows, 0, number, strong)
        pasted = pasted_pixels(plan, rows, 0, number)
        assert any(plane.any() for plane in pasted)
        for index, (view, plane) in enumerate(zip(views, pasted, strict=True)):
            expected = np.where(plane, index ^ 1, index)
            assert (view == expected[..., None]).all()
