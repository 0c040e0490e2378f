"""From a config to scenes and views."""

import pytest

from pipeline.plan import plan_experiment, require_unlabeled
from rsmtdf_core.errors import ConfigError


@pytest.mark.parametrize(("share", "labeled"), [("1/4", 3), ("1/2", 5), ("1", 10)])
def test_the_share_decides_how_many_scenes_are_labeled(make_config, share, labeled):
    plan = plan_experiment(make_config(f"data.labeled={share}")).plan
    assert abs(len(plan.labeled_scenes) - labeled) <= 1
    assert len(plan.labeled_scenes) + len(plan.unlabeled_scenes) == 10
    assert set(plan.labeled_scenes).isdisjoint(plan.unlabeled_scenes)


def test_the_same_config_has_the_same_views_and_another_seed_others(make_config):
    first, again = (plan_experiment(make_config()).plan for _ in range(2))
    assert first.fingerprint == again.fingerprint
    other = plan_experiment(make_config("data.labeled_seed=1")).plan
    assert other.fingerprint != first.fingerprint


def test_a_method_that_learns_from_unlabeled_scenes_needs_some(make_config):
    every = plan_experiment(make_config("data.labeled=1", "objective.method=fixmatch"))
    with pytest.raises(ConfigError, match="10 training scenes are labeled") as caught:
        require_unlabeled(every)
    assert caught.value.where == "data.labeled"
    require_unlabeled(plan_experiment(make_config("data.labeled=1", "objective.method=supervised")))
    require_unlabeled(plan_experiment(make_config("objective.method=fixmatch")))
