"""The views of a probe depend on ids alone, and images stay in one fold."""

import numpy as np
import pytest

from pipeline.probe.sample import sample_views


@pytest.mark.parametrize(("views", "limit"), [(2, None), (7, None), (9, 3), (500, None)])
def test_views_are_spread_over_scenes_and_scenes_over_folds(make_config, views, limit):
    sample = sample_views(make_config("data.labeled=1"), "train", views, limit)
    plan = sample.experiment.plan
    used = [plan.scenes[view.scene].id for view in plan]
    assert len(used) == len(sample.folds) == min(views, 2 * (limit or 10))
    counts = [used.count(name) for name in set(used)]
    assert max(counts) - min(counts) <= 1
    assert len(set(used)) == min(views, limit or 10)
    for name, fold in zip(used, sample.folds.tolist(), strict=True):
        assert name in sample.scenes[fold]
    assert sorted(name for fold in sample.scenes for name in fold) == sorted(set(used))
    assert len(sample.scenes) == min(5, len(set(used)))
    assert all(view.labeled for view in plan)
    assert np.all(np.diff([(view.number, view.scene) for view in plan], axis=0)[:, 0] >= 0)


def test_more_views_include_the_same_scenes(make_config):
    config = make_config("data.labeled=1")
    few, more = (sample_views(config, "train", views, None) for views in (5, 8))
    names = [{name for fold in sample.scenes for name in fold} for sample in (few, more)]
    assert names[0] < names[1]


def test_of_other_splits_all_scenes_with_masks_are_used(make_config):
    sample = sample_views(make_config(), "val", 64, None)
    assert len(sample.scenes) == 2
    assert sample.plan_views == len(sample.folds) == 4


def test_of_fresh_views_the_first_are_used(make_config):
    fresh = make_config("data.labeled=1", "objective.method=fixmatch", "views.labeled_views=fresh")
    planned = make_config("data.labeled=1", "objective.method=fixmatch", "views.labeled_views=4")
    samples = [sample_views(config, "train", 9, None) for config in (fresh, planned)]
    assert list(samples[0].experiment.plan) == list(samples[1].experiment.plan)
    assert samples[0].plan_views == samples[1].plan_views
