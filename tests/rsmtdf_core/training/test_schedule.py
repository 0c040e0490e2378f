import pickle

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.training.schedule import BatchSchedule, PooledSchedule
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


@given(
    labeled=st.integers(1, 7),
    unlabeled=st.integers(0, 9),
    views=st.integers(1, 3),
    batch=st.integers(1, 9).map(lambda pairs: 2 * pairs),
    samples=st.sampled_from(["both", "labeled", "unlabeled"]),
)
def test_a_pooled_epoch_passes_every_scene_alike(labeled, unlabeled, views, batch, samples):
    assume(samples != "unlabeled" or unlabeled > 1)
    plan = _plan(labeled, unlabeled, views)
    schedule = PooledSchedule(plan, batch, seed=0, samples=samples)
    steps = schedule.steps_per_epoch
    scenes = [] if samples == "unlabeled" else [*plan.labeled_scenes]
    paired = 0 if samples == "labeled" else unlabeled // 2
    pool = 2 * (-(-len(scenes) // 2) + paired)
    assert steps == max(1, pool // batch)
    drawn = [schedule.rows(step) for step in range(steps)]
    for rows in drawn:
        assert len(rows.labeled) + len(rows.unlabeled) == batch == schedule.size
        assert all(plan[row].labeled for row in rows.labeled.tolist())
        pairs = rows.unlabeled.tolist()
        assert [plan[row].partner for row in pairs] == [pairs[i ^ 1] for i in range(len(pairs))]
    rows = np.concatenate([np.concatenate([rows.labeled, rows.unlabeled]) for rows in drawn])
    counts = np.unique([plan[row].scene for row in rows.tolist()], return_counts=True)[1]
    passes = -(-batch * steps // pool)
    # A single view fills the last pair of an odd number of labeled views.
    assert counts.max() <= 2 * passes
    if batch * steps == pool:
        assert len(counts) == len(scenes) + 2 * paired
    if passes == 1 and len(scenes) % 2 == 0:
        assert counts.max() == 1


def test_pooled_epochs_advance_the_views_and_change_the_order():
    plan = _plan(labeled=4, unlabeled=8, views=2)
    schedule = PooledSchedule(plan, batch=4, seed=0)
    epochs = []
    for epoch in range(3):
        drawn = [schedule.rows(3 * epoch + step) for step in range(3)]
        assert {rows.epoch for rows in drawn} == {epoch}
        rows = np.concatenate([np.concatenate([step.labeled, step.unlabeled]) for step in drawn])
        assert {plan[row].number for row in rows.tolist()} == {epoch % 2}
        epochs.append(rows.tolist())
    assert epochs[0] != epochs[2]
    assert sorted(epochs[0]) == sorted(epochs[2])


def test_pooled_batches_larger_than_the_data_go_on_with_the_next_views():
    plan = _plan(labeled=2, unlabeled=2, views=3)
    rows = PooledSchedule(plan, batch=12, seed=0).rows(0)
    numbers = [plan[row].number for row in (*rows.labeled.tolist(), *rows.unlabeled.tolist())]
    assert sorted(numbers) == sorted([0, 1, 2] * 4)


@pytest.mark.parametrize("samples", ["both", "labeled", "unlabeled"])
def test_processes_share_a_pooled_step_and_together_equal_one(samples):
    plan = _plan(labeled=3, unlabeled=8)
    whole = PooledSchedule(plan, batch=8, seed=1, samples=samples)
    parts = [PooledSchedule(plan, 2, 1, rank, 4, samples=samples) for rank in range(4)]
    assert {part.steps_per_epoch for part in parts} == {whole.steps_per_epoch}
    for step in range(2 * whole.steps_per_epoch):
        shares = [part.rows(step) for part in parts]
        for kind in ("labeled", "unlabeled"):
            together = np.concatenate([getattr(rows, kind) for rows in shares])
            assert together.tolist() == getattr(whole.rows(step), kind).tolist()


def test_a_pooled_schedule_without_scenes_is_refused():
    for unlabeled in (0, 1):
        with pytest.raises(ConfigError, match="no pair of unlabeled scenes") as caught:
            PooledSchedule(_plan(unlabeled=unlabeled), 2, 0, samples="unlabeled")
        assert "objective.distillation.samples=both" in caught.value.remedy
