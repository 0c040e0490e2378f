"""Configs and overrides from Python are those of a file and of the command line."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import load_config as load
from pipeline.packaged import find_config
from rsmtdf.configs import load_config, override_words
from rsmtdf_core.errors import ConfigError


def test_a_name_a_path_and_the_model_are_the_same_config(tmp_path):
    config = load("dubai", ())
    assert load_config("dubai") == config
    assert load_config(config) == config
    path = tmp_path / "mine.yaml"
    path.write_bytes(find_config("dubai").read_bytes())
    assert load_config(path) == load_config(str(path)) == config


def test_overrides_by_key_are_those_of_the_command_line():
    by_key = load_config("dubai", {"optimiser.epochs": 3, "objective.method": "fixmatch"})
    assert by_key == load("dubai", ["optimiser.epochs=3", "objective.method=fixmatch"])
    assert by_key.optimiser.epochs == 3
    with pytest.raises(ConfigError, match="epocs"):
        load_config("dubai", {"optimiser.epocs": 3})


@given(
    st.integers(-(2**40), 2**40)
    | st.booleans()
    | st.text(max_size=20)
    | st.lists(st.integers(0, 9), max_size=3)
)
def test_any_value_is_read_back_as_it_was(value):
    (word,) = override_words({"a.b": value})
    key, _, text = word.partition("=")
    assert key == "a.b"
    assert yaml.safe_load(text) == value


def test_paths_are_text_and_further_keys_win():
    words = override_words({"a": Path("/x"), "b.c": 1}, b__c=2, d=None)
    values = dict(word.split("=", 1) for word in words)
    assert {key: yaml.safe_load(text) for key, text in values.items()} == {"a": "/x", "b.c": 2}
    assert override_words(["a=1"], b__c=2)[0] == "a=1"
    assert override_words(None) == []
