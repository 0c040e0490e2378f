import re
from collections.abc import Iterator
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, create_model

from pipeline.config import ExperimentConfig
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.settings import Settings
from rsmtdf_core.validation import load_yaml, validate


class Square(Settings):
    kind: Literal["square"]
    side: float


class Circle(Settings):
    kind: Literal["circle"]
    radius: float


class Part(Settings):
    width: int = 1
    mode: Literal["weighted", "off"] = "off"


class Whole(Settings):
    crop: int = 3
    part: Part = Part()
    parts: tuple[Part, ...] = ()
    named: dict[str, Part] = Field(default_factory=dict)
    maybe: Part | None = None
    shape: Annotated[Square | Circle, Field(discriminator="kind")] = Square(kind="square", side=1)


def problems(value: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        validate(Whole, value, "here.yaml")
    assert caught.value.where == "here.yaml"
    return caught.value.what.splitlines()


def test_valid_values_become_the_model():
    assert validate(Whole, {"crop": 5, "parts": [{"width": 2}]}, "x").parts == (Part(width=2),)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"part": {"widht": 1}}, "unknown key 'part.widht', did you mean 'width'?"),
        ({"parts": [{}, {"widht": 1}]}, "unknown key 'parts.1.widht', did you mean 'width'?"),
        ({"named": {"a": {"widht": 1}}}, "unknown key 'named.a.widht', did you mean 'width'?"),
        ({"maybe": {"widht": 1}}, "unknown key 'maybe.widht', did you mean 'width'?"),
        ({"zzz": 1}, "unknown key 'zzz'"),
        ({"crop": "abc"}, "crop: expected an integer, found 'abc'"),
        ({"part": [1]}, "part: expected a mapping, found [1]"),
        ({"shape": {"kind": "circle"}}, "shape.radius: the key is missing"),
    ],
)
def test_one_problem_is_one_line_with_the_users_key(value, line):
    assert problems(value) == [line]


def test_a_unions_branch_is_not_part_of_the_key_and_suggests_only_its_keys():
    value = {"shape": {"kind": "circle", "radius": 1, "sid": 2}}
    assert problems(value) == ["unknown key 'shape.sid'"]


def test_an_unknown_kind_names_the_known_ones():
    (line,) = problems({"shape": {"kind": "star"}})
    assert line.startswith("shape.kind: expected 'square', 'circle'")
    assert "found 'star'" in line


def test_a_bare_off_is_explained():
    (line,) = problems({"part": {"mode": False}})
    assert line.startswith("part.mode: expected 'weighted' or 'off', found False")
    assert "quotes" in line


def test_all_problems_are_reported_at_once():
    assert len(problems({"crop": "abc", "part": {"x": 1}, "shape": {"kind": "square"}})) == 3


def test_yaml_is_read(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("crop: 3\n")
    assert load_yaml(path) == {"crop": 3}
    path.write_text("# nothing\n")
    assert load_yaml(path) == {}


def _patterns(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for part in schema.values():
            yield from _patterns(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _patterns(part)


@pytest.mark.parametrize("model", [ExperimentConfig, Manifest])
def test_every_form_of_a_name_is_put_in_words(model):
    patterns = set(_patterns(model.model_json_schema()))
    assert patterns
    for pattern in patterns:
        form = create_model(
            "Form", __base__=Settings, name=(Annotated[str, Field(pattern=pattern)], ...)
        )
        with pytest.raises(ConfigError) as caught:
            validate(form, {"name": "\n"}, "test")
        assert "^" not in caught.value.what, caught.value.what
        assert "should" not in caught.value.what


@given(
    st.integers(0, 3), st.integers(4, 9), st.sampled_from([str, tuple[int, ...], dict[str, int]])
)
def test_wrong_lengths_are_reported_as_an_expectation(low, high, kind):
    form = create_model(
        "Form",
        __base__=Settings,
        value=(Annotated[kind, Field(min_length=low + 1, max_length=high)], ...),
    )
    for length in (low, high + 1):
        if kind is str:
            value: object = "x" * length
        elif kind == dict[str, int]:
            value = {str(index): index for index in range(length)}
        else:
            value = list(range(length))
        with pytest.raises(ConfigError) as caught:
            validate(form, {"value": value}, "test")
        assert re.match(
            r"value: expected (text|a list|a mapping) with at (least|most) \d+ \w+, found ",
            caught.value.what,
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: 1\nb: [1,\n", "line 3"), ("- 1\n- 2\n", "expected keys with values"), ("\x00", "YAML")],
)
def test_wrong_yaml_is_reported(tmp_path, text, message):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_yaml(path)


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(ConfigError, match="missing"):
        load_yaml(tmp_path / "none.yaml")
