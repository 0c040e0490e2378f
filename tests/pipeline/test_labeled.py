"""The selection of labeled scenes in words, and settings that have no effect on it."""

import pytest

from pipeline.labeled import labeled_rule, labeled_value, unheeded_by_manifest
from pipeline.plan import plan_experiment
from rsmtdf_core.errors import ConfigError, DataError
from rsmtdf_core.scenes.manifest import load_manifest


@pytest.fixture
def listed():
    return load_manifest("synthetic").model_copy(update={"labeled": ("a", "b")})


def test_a_share_has_no_effect_with_a_list_and_a_warning(make_config, listed):
    config = make_config()
    (sentence,) = unheeded_by_manifest(config, listed)
    assert "data.labeled: 0.25" in sentence
    assert "2 of them" in sentence
    assert unheeded_by_manifest(config, load_manifest("synthetic")) == ()
    data = type(config.data)(manifest="synthetic", root=config.data.root)
    assert unheeded_by_manifest(config.model_copy(update={"data": data}), listed) == ()


def test_reports_name_the_rule_of_labeled_scenes(make_config, listed):
    assert labeled_rule(make_config(), listed) == "2 training scenes listed as labeled"
    rule = labeled_rule(make_config("data.labeled_seed=3"), load_manifest("synthetic"))
    assert rule == "0.25 of the training scenes labeled (seed 3)"
    rule = labeled_rule(make_config("data.labeled=1"), load_manifest("synthetic"))
    assert rule == "masks of all training scenes that have one"


def test_images_are_labeled_by_name(make_config):
    config = make_config("data.labeled={images: ['0000', 'images/0003.png']}")
    plan = plan_experiment(config).plan
    assert {plan.scenes[index].id for index in plan.labeled_scenes} == {"0000", "0003"}
    assert len(plan.unlabeled_scenes) == 8
    assert labeled_value(config) == "images 0000, images/0003.png"
    rule = labeled_rule(config, load_manifest("synthetic"))
    assert rule == "masks of all training scenes of images 0000, images/0003.png that have one"
    half = make_config("data.labeled={where: {name: ['0000', '0003']}, share: 1/2}")
    assert len(plan_experiment(half).plan.labeled_scenes) == 1
    rule = labeled_rule(half, load_manifest("synthetic"))
    assert rule == "0.5 of the training scenes of name 0000, 0003 labeled (seed 0)"


def test_unknown_images_and_keys_are_named(make_config):
    with pytest.raises(DataError, match="no training image is named '99'"):
        plan_experiment(make_config("data.labeled={images: ['99']}"))
    for value, message in {
        "{image: [a]}": "unknown key 'data.labeled.image', did you mean 'images'",
        "{images: 3}": "data.labeled.images: expected a list, found 3",
        "2": "data.labeled: expected less than or equal to 1",
        "[a]": "data.labeled: expected a number",
    }.items():
        with pytest.raises(ConfigError, match=message):
            make_config(f"data.labeled={value}")
