import pickle

import numpy as np
import pytest

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.scenes.find import Scene
from rsmtdf_core.training.schedule import BatchSchedule
from rsmtdf_core.views.plan import ViewPlan, make_plan
from rsmtdf_core.views.settings import ViewSettings


def _plan(labeled: int = 3, unlabeled: int = 8, views: int = 2) -> ViewPlan:
    scenes = [Scene(f"s{i:02d}", f"{i}.png", None, 64, 64) for i in range(labeled + unlabeled)]
    settings = ViewSettings(crop=32, unlabeled_views=views, labeled_views=views)
    return make_plan(scenes[:labeled], scenes[labeled:], settings, seed=0)


def test_an_epoch_passes_every_unlabeled_scene_once():
    plan = _plan()
    schedule = BatchSchedule(plan, batch=4, seed=0)
    assert schedule.steps_per_epoch == 2
    for epoch in range(3):
        rows = np.concatenate([schedule.rows(2 * epoch + i).unlabeled for i in range(2)])
        views = [plan[row] for row in rows.tolist()]
        assert {view.scene for view in views} == set(plan.unlabeled_scenes)
        assert {view.number for view in views} == {epoch % 2}


def test_partners_are_side_by_side():
    plan = _plan()
    rows = BatchSchedule(plan, batch=4, seed=0).rows(0).unlabeled.tolist()
    assert [plan[row].partner for row in rows] == [rows[i ^ 1] for i in range(4)]


def test_the_labeled_list_is_repeated_with_the_next_view_each_time():
    plan = _plan(labeled=2, views=4)
    schedule = BatchSchedule(plan, batch=4, seed=0)
    rows = np.concatenate([schedule.rows(step).labeled for step in range(2)])
    numbers = [(plan[row].scene, plan[row].number) for row in rows.tolist()]
    assert len(set(numbers)) == 8
    assert all(plan[row].labeled for row in rows.tolist())


def test_labeled_views_advance_over_the_epochs_until_all_are_used():
    # An epoch takes two views of each labeled scene, so that three epochs take all six.
    plan = _plan(labeled=4, views=6)
    schedule = BatchSchedule(plan, batch=4, seed=0)
    assert schedule.steps_per_epoch == 2
    epochs = [[schedule.rows(2 * epoch + i).labeled for i in range(2)] for epoch in range(4)]
    numbers = [{plan[row].number for row in np.concatenate(rows).tolist()} for rows in epochs]
    assert numbers == [{0, 1}, {2, 3}, {4, 5}, {0, 1}]
    used = np.concatenate([rows for epoch in epochs[:3] for rows in epoch]).tolist()
    every = {(scene, number) for scene in plan.labeled_scenes for number in range(6)}
    assert {(plan[row].scene, plan[row].number) for row in used} == every
    assert len(used) == len(every)


@pytest.mark.parametrize("world", [1, 2])
def test_a_schedule_of_fresh_views_shows_none_twice(world):
    plan = _plan(labeled=2, views="fresh")
    parts = [BatchSchedule(plan, 4 // world, 0, rank, world) for rank in range(world)]
    steps = range(20)
    rows = [part.rows(step) for step in steps for part in parts]
    for role in ("labeled", "unlabeled"):
        views = [plan[row] for part in rows for row in getattr(part, role).tolist()]
        assert len({(view.scene, view.number) for view in views}) == len(views) == 4 * len(steps)
    # The first passes show the views of a plan, in the same order.
    planned = BatchSchedule(_plan(labeled=2, views=20), 4, 0)
    for step in (0, 1, 5):
        for role in ("labeled", "unlabeled"):
            shown = np.concatenate([getattr(part.rows(step), role) for part in parts])
            others = getattr(planned.rows(step), role)
            assert [plan[row].geometry for row in shown.tolist()] == [
                planned.plan[row].geometry for row in others.tolist()
            ]


def test_processes_share_a_step_without_overlap_and_together_equal_one():
    plan = _plan()
    whole = BatchSchedule(plan, batch=4, seed=0)
    halves = [BatchSchedule(plan, batch=2, seed=0, rank=rank, world=2) for rank in range(2)]
    for step in range(4):
        parts = [half.rows(step) for half in halves]
        assert (
            np.concatenate([p.unlabeled for p in parts]).tolist()
            == whole.rows(step).unlabeled.tolist()
        )
        assert (
            np.concatenate([p.labeled for p in parts]).tolist() == whole.rows(step).labeled.tolist()
        )


def test_only_the_seed_changes_the_order():
    first, again, other = (BatchSchedule(_plan(), 4, seed) for seed in (0, 0, 1))
    steps = range(6)
    assert [first.rows(s).unlabeled.tolist() for s in steps] == [
        again.rows(s).unlabeled.tolist() for s in steps
    ]
    assert [first.rows(s).unlabeled.tolist() for s in steps] != [
        other.rows(s).unlabeled.tolist() for s in steps
    ]


def test_without_unlabeled_scenes_an_epoch_passes_the_labeled_ones():
    schedule = BatchSchedule(_plan(labeled=5, unlabeled=0), batch=4, seed=0)
    assert schedule.steps_per_epoch == 2
    assert len(schedule.rows(1).labeled) == 4
    assert len(schedule.rows(1).unlabeled) == 0


def test_too_few_scenes_for_a_batch_are_refused_with_the_batch_that_fits():
    with pytest.raises(ConfigError, match=r"optimiser\.batch=8"):
        BatchSchedule(_plan(), batch=16, seed=0)


def test_an_epoch_is_drawn_once_and_a_copy_for_a_worker_goes_on_alike(monkeypatch):
    schedule = BatchSchedule(_plan(), batch=4, seed=0)
    expected = [schedule.rows(step).unlabeled.tolist() for step in (1, 2, 3)]
    drawn = []
    draw = BatchSchedule._epoch
    monkeypatch.setattr(
        BatchSchedule, "_epoch", lambda self, epoch: drawn.append(epoch) or draw(self, epoch)
    )
    copy = pickle.loads(pickle.dumps(schedule))
    assert [copy.rows(step).unlabeled.tolist() for step in (1, 2, 3)] == expected
    assert drawn == [0, 1]


def test_without_a_batch_of_unlabeled_scenes_labels_alone_are_trained_on():
    plan = _plan(labeled=5, unlabeled=6)
    with pytest.raises(ConfigError, match="needs 8 unlabeled scenes"):
        BatchSchedule(plan, batch=8, seed=0)
    schedule = BatchSchedule(plan, batch=8, seed=0, trains_unlabeled=False)
    assert schedule.steps_per_epoch == 1
    assert len(schedule.rows(0).labeled) == 8
    # With enough of them epochs are as long as those of other methods.
    assert BatchSchedule(plan, 2, 0, trains_unlabeled=False).steps_per_epoch == 3
    rows = [BatchSchedule(plan, 2, 0, trains_unlabeled=t).rows(4) for t in (False, True)]
    assert rows[0].labeled.tolist() == rows[1].labeled.tolist()


@pytest.mark.parametrize("unlabeled", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_the_batch_that_is_proposed_fits(unlabeled, world):
    plan = _plan(unlabeled=unlabeled)
    with pytest.raises(ConfigError) as caught:
        BatchSchedule(plan, batch=16, seed=0, world=world)
    option, _, batch = caught.value.remedy.partition("optimiser.batch=")
    if option.startswith("--set"):
        assert int(batch) % 2 == 0
        assert BatchSchedule(plan, int(batch), 0, world=world).steps_per_epoch >= 1
    else:
        assert unlabeled // 2 < world, "not even the smallest batch fits"
        assert "data.labeled" in caught.value.remedy
