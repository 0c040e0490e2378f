"""The selection of labeled scenes in words, and settings that have no effect on it."""

import pytest

from pipeline.labeled import labeled_rule, unheeded_by_manifest
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
