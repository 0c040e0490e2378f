"""Configs from every kind of source are the same."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import rsmtdf
from rsmtdf.configs import override_words
from rsmtdf_core.errors import ConfigError

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]))


def test_a_path_a_mapping_and_a_model_are_the_same_config(values, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(values, default=str))
    config = rsmtdf.load_config(values)
    assert rsmtdf.load_config(path) == rsmtdf.load_config(str(path)) == config
    assert rsmtdf.load_config(config) is config
    assert rsmtdf.load_config(config, {"seed": 3}) == rsmtdf.load_config(values | {"seed": 3})
    assert rsmtdf.load_config("demo").name == "demo"


def test_overrides_change_nothing_else(values):
    before = yaml.safe_dump(json.loads(json.dumps(values, default=str)))
    config = rsmtdf.load_config(values, {"optimiser.epochs": 7, "teachers.vit.input_size": 96})
    assert config.optimiser.epochs == 7
    assert config.teachers[0].input_size == 96
    assert yaml.safe_dump(json.loads(json.dumps(values, default=str))) == before
    assert rsmtdf.load_config(values, ["optimiser.epochs=7"]).optimiser.epochs == 7


@given(st.recursive(st.none() | st.booleans() | st.integers() | WORDS, st.lists))
def test_a_value_passes_through_an_override_unchanged(value):
    [word] = override_words({"a.key": value})
    assert yaml.safe_load(word.removeprefix("a.key=")) == value


def test_paths_and_later_keys_are_overrides():
    config = rsmtdf.load_config(
        "demo", {"data.root": Path("a: b"), "teachers.vit.weights": Path("c")}
    )
    assert config.data.root.name == "a: b"
    assert Path(config.teachers[0].weights).name == "c"
    words = override_words(["a=1"], runtime__cache=Path("c"), optimiser__max_steps=None)
    assert [yaml.safe_load(word.replace("=", ": ")) for word in words] == [
        {"a": 1},
        {"runtime.cache": "c"},
    ]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"optimiser.epoch": 3}, "optimiser"),
        ({"seed": object()}, "of type object"),
        (["epochs"], "key=value"),
        ({"seed": -1}, "seed"),
    ],
)
def test_wrong_overrides_are_named(values, overrides, sentence):
    with pytest.raises(ConfigError, match=sentence):
        rsmtdf.load_config(values, overrides)
