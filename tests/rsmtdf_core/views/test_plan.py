import json
import pickle
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

from rsmtdf_core.scenes.scene import Window
from rsmtdf_core.views.plan import VIEW_DTYPE, Geometry, drawing_fields, make_plan
from rsmtdf_core.views.settings import ViewSettings

SETTINGS = ViewSettings(crop=56, unlabeled_views=2, labeled_views=3)


def by_key(plan):
    """Every view without its rows: by scene id, role and number."""
    return {
        (plan.scenes[view.scene].id, view.labeled, view.number): (
            view.geometry,
            view.photometric,
            view.box,
            None if view.partner < 0 else plan.scenes[plan[view.partner].scene].id,
        )
        for view in plan
    }


@pytest.fixture
def scenes(make_scenes):
    return make_scenes(11)


@pytest.fixture
def plan(scenes):
    return make_plan(scenes[:4], scenes[4:], SETTINGS, 0)


def test_every_scene_gets_its_views(plan):
    assert len(plan) == 4 * 3 + 7 * 2 == len(by_key(plan))
    assert plan.table.dtype == VIEW_DTYPE
    assert [plan.scenes[i].id for i in plan.labeled_scenes] == [f"s/{i:03}" for i in range(4)]
    assert len(plan.unlabeled_scenes) == 7


def test_rows_go_by_number_and_labeled_first_with_partners_side_by_side(plan):
    views = list(plan)
    assert [view.row for view in views] == list(range(len(plan)))
    order = [(view.number, not view.labeled) for view in views]
    assert order == sorted(order)
    assert plan.labeled_rows(1).tolist() == [11, 12, 13, 14]
    assert [plan[row].scene for row in plan.labeled_rows(2)] == list(plan.labeled_scenes)
    assert plan.unlabeled_pairs(0).tolist() == [[4, 5], [6, 7], [8, 9]]
    assert plan.unlabeled_pairs(0).dtype == plan.labeled_rows(0).dtype == np.int64


def test_partners_are_mutual_and_an_odd_scene_has_neither_partner_nor_box(scenes):
    cutmix = {"p": 1.0}
    plan = make_plan(scenes[:4], scenes[4:], ViewSettings(crop=56, cutmix=cutmix), 0)
    for number in range(4):
        for left, right in plan.unlabeled_pairs(number).tolist():
            assert (plan[left].partner, plan[right].partner) == (right, left)
            assert plan[left].scene != plan[right].scene
            assert plan[left].number == plan[right].number == number
            assert plan[left].box is not None
            assert plan[left].box != plan[right].box
    alone = [view for view in plan if view.partner < 0 and not view.labeled]
    assert [view.number for view in alone] == [0, 1, 2, 3]
    assert all(view.box is None for view in alone)


def test_partners_change_with_the_number(scenes):
    plan = make_plan([], scenes[:10], ViewSettings(crop=56), 0)
    pairs = {
        frozenset(
            frozenset(plan[row].scene for row in pair) for pair in plan.unlabeled_pairs(number)
        )
        for number in range(4)
    }
    assert len(pairs) == 4


def test_labeled_views_have_neither_photometrics_nor_partner(plan):
    labeled = [view for view in plan if view.labeled]
    assert all((view.photometric, view.partner, view.box) == (None, -1, None) for view in labeled)
    assert all(view.photometric is not None for view in plan if not view.labeled)


def test_the_order_of_scenes_has_no_effect(plan, scenes):
    other = make_plan(scenes[3::-1], scenes[:3:-1], SETTINGS, 0)
    assert other.fingerprint == plan.fingerprint
    assert other.scenes == plan.scenes


@pytest.mark.parametrize("counts", [(2, 7), (5, 3), (5, 7)])
def test_more_views_change_no_view_and_no_address(plan, scenes, counts):
    settings = SETTINGS.model_copy(
        update={"unlabeled_views": counts[0], "labeled_views": counts[1]}
    )
    grown = make_plan(scenes[:4], scenes[4:], settings, 0)
    assert by_key(plan).items() <= by_key(grown).items()
    assert len(grown) == 7 * counts[0] + 4 * counts[1]
    assert grown.address == plan.address
    assert grown.fingerprint != plan.fingerprint or counts == (2, 3)
    assert {row.tobytes() for row in plan.table} <= {row.tobytes() for row in grown.table}


def test_another_scene_changes_no_geometry_of_those_there(plan, scenes, make_scenes):
    grown = make_plan(scenes[:4], scenes[4:] + make_scenes(1, prefix="a"), SETTINGS, 0)
    before, after = by_key(plan), by_key(grown)
    assert all(after[key][:2] == before[key][:2] for key in before)
    assert grown.address != plan.address


def test_the_seed_changes_every_view(plan, scenes):
    other = make_plan(scenes[:4], scenes[4:], SETTINGS, 1)
    assert all(by_key(other)[key] != view for key, view in by_key(plan).items())


def test_a_scene_in_both_lists_is_one_scene_with_separate_views_in_each_role(scenes):
    plan = make_plan(scenes[:2], [replace(scene, mask=None) for scene in scenes[:4]], SETTINGS, 0)
    assert plan.scenes == tuple(
        scene if i < 2 else replace(scene, mask=None) for i, scene in enumerate(scenes[:4])
    )
    assert len(plan) == 2 * 3 + 4 * 2
    views = by_key(plan)
    assert views["s/000", True, 0][0] != views["s/000", False, 0][0]


def test_the_address_knows_the_pixels_the_windows_and_the_settings(plan, scenes):
    changed = [
        [replace(scenes[0], sha256="f" * 64), *scenes[1:]],
        [replace(scenes[0], window=Window(1, 2, 90, 70)), *scenes[1:]],
    ]
    addresses = {make_plan(some[:4], some[4:], SETTINGS, 0).address for some in changed}
    addresses.add(make_plan(scenes[:4], scenes[4:-1], SETTINGS, 0).address)
    addresses.add(make_plan(scenes[:4], scenes[4:], SETTINGS, 1).address)
    sharper = SETTINGS.model_copy(update={"grayscale": 0.1})
    addresses.add(make_plan(scenes[:4], scenes[4:], sharper, 0).address)
    assert len(addresses | {plan.address}) == 6


def test_roles_and_counts_are_not_part_of_the_address(plan, scenes):
    assert make_plan(scenes[:5], scenes[5:], SETTINGS, 0).address == plan.address


def test_paths_are_not_part_of_the_address(plan, scenes):
    moved = [replace(scene, image="elsewhere.png") for scene in scenes]
    assert make_plan(moved[:4], moved[4:], SETTINGS, 0).address == plan.address


def test_default_settings_keep_their_addresses():
    """A new key is omitted at its default, or existing caches could not be found."""
    drawn_settings = drawing_fields(ViewSettings(), 0)["settings"]
    inner = {
        name: set(values) for name, values in drawn_settings.items() if isinstance(values, dict)
    }
    assert inner == {
        "jitter": {"p", "brightness", "contrast", "saturation", "hue"},
        "blur": {"p", "sigma"},
        "cutmix": {"p", "area", "aspect"},
    }
    assert set(drawn_settings) - set(inner) == {
        "crop",
        "scale",
        "flip",
        "grayscale",
        "teacher_sees",
    }


@pytest.mark.parametrize(
    "on", [{"vertical_flip": 0.5}, {"quarter_turns": 1}, {"vertical_flip": 1, "quarter_turns": 0.5}]
)
def test_orientations_shift_no_other_draw(plan, scenes, on):
    oriented = make_plan(scenes[:4], scenes[4:], SETTINGS.model_copy(update=on), 0)
    assert oriented.address != plan.address
    assert oriented.table.dtype.names == (*VIEW_DTYPE.names, *on)
    for name in VIEW_DTYPE.names:
        assert oriented.table[name].tobytes() == plan.table[name].tobytes()
    for name in on:
        assert oriented.table[name].any()
    assert [replace(view.geometry, vertical_flip=False, quarter_turns=0) for view in oriented] == [
        view.geometry for view in plan
    ]


def test_orientations_do_not_depend_on_the_size_of_a_view(make_scenes):
    settings = SETTINGS.model_copy(update={"vertical_flip": 0.5, "quarter_turns": 0.5})
    table = make_plan(make_scenes(200), [], settings, 0).table
    small = table["width"] < np.median(table["width"])
    for views in (table[small], table[~small]):
        assert views["vertical_flip"].mean() == pytest.approx(0.5, abs=0.12)
        assert (views["quarter_turns"] > 0).mean() == pytest.approx(3 / 8, abs=0.12)


def test_a_probability_of_zero_is_no_orientation(plan, scenes):
    off = ViewSettings(
        crop=56, unlabeled_views=2, labeled_views=3, vertical_flip=0, quarter_turns=0.0
    )
    assert make_plan(scenes[:4], scenes[4:], off, 0).fingerprint == plan.fingerprint


def test_address_fields_survive_json(plan):
    assert json.loads(json.dumps(plan.address_fields())) == plan.address_fields()


def test_views_survive_the_table_and_the_plan_a_process_border(plan, tmp_path):
    np.save(tmp_path / "views.npy", plan.table, allow_pickle=False)
    kept = replace(plan, table=np.load(tmp_path / "views.npy"))
    assert list(kept) == list(plan) == list(pickle.loads(pickle.dumps(plan)))
    assert kept.fingerprint == plan.fingerprint


def test_plans_of_one_role_and_empty_plans_work(scenes):
    assert len(make_plan([], [], SETTINGS, 0)) == 0
    unlabeled = make_plan([], scenes, SETTINGS, 0)
    assert unlabeled.labeled_rows(2).tolist() == []
    labeled = make_plan(scenes, [], SETTINGS, 0)
    assert labeled.unlabeled_pairs(1).shape == (0, 2)


def test_rows_outside_the_plan_are_refused(plan):
    for row in (-1, len(plan)):
        with pytest.raises(IndexError, match="expected a row from 0 to 25"):
            plan[row]


def test_the_views_of_a_plan_never_change(plan):
    """Features on disk belong to these very numbers: if this fails, raise PLAN_FORMAT."""
    assert plan[4].geometry == Geometry(143, 111, 55, 33, True)
    assert sha256(plan.table.tobytes()).hexdigest()[:16] == "052b7505dfa2c351"
