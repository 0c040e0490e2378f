"""From a config to scenes and views: which scenes are labeled, and which settings have no effect."""

import pytest

from pipeline.plan import labeled_rule, plan_experiment, require_unlabeled, unheeded
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.scenes.manifest import load_manifest


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


@pytest.fixture
def listed():
    return load_manifest("synthetic").model_copy(update={"labeled": ("a", "b")})


def test_a_share_has_no_effect_with_a_list_and_a_warning(make_config, listed):
    config = make_config()
    (sentence,) = unheeded(config, listed)
    assert "data.labeled: 0.25" in sentence
    assert "2 of them" in sentence
    assert unheeded(config, load_manifest("synthetic")) == ()
    data = type(config.data)(manifest="synthetic", root=config.data.root)
    assert unheeded(config.model_copy(update={"data": data}), listed) == ()


def test_reports_name_the_rule_of_labeled_scenes(make_config, listed):
    assert labeled_rule(make_config(), listed) == "2 training scenes listed as labeled"
    rule = labeled_rule(make_config("data.labeled_seed=3"), load_manifest("synthetic"))
    assert rule == "0.25 of the training scenes labeled (seed 3)"
