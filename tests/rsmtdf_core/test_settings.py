"""The base of settings is strict and frozen; paths are ones that a file can have."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rsmtdf_core.settings import (
    LONGEST_NAME,
    LONGEST_PATH,
    Mean,
    Seed,
    Settings,
    Spread,
    UserPath,
    WeightsName,
    user_path,
)


class Example(Settings):
    seed: Seed = 0
    mean: Mean = 0.5
    spread: Spread = 0.25
    folder: UserPath = Path("here")
    weights: WeightsName = "hub"


def test_unknown_keys_and_changes_are_refused():
    with pytest.raises(ValidationError, match="sede"):
        Example(sede=3)
    with pytest.raises(ValidationError, match="frozen"):
        Example().seed = 3


@pytest.mark.parametrize("key", ["mean", "spread"])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), 1e9])
def test_numbers_have_bounds(key, number):
    with pytest.raises(ValidationError, match=key):
        Example(**{key: number})


@pytest.mark.parametrize("key", ["folder", "weights"])
@pytest.mark.parametrize(
    "text", ["a\0b", "x" * (LONGEST_NAME + 1), "\u00e9" * 200, "a/" * (LONGEST_PATH // 2) + "bb"]
)
def test_paths_that_no_file_can_have_are_refused(key, text):
    with pytest.raises(ValidationError, match=key):
        Example(**{key: text})


def test_a_home_folder_is_found_or_refused(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert Example(folder="~/cache").folder == Path("/home/somebody/cache")
    with pytest.raises(ValueError, match="nobody_of_that_name"):
        user_path(Path("~nobody_of_that_name/cache"))


@given(st.text(st.characters(exclude_characters="\0~/"), min_size=1, max_size=60))
def test_any_other_name_stays_as_it_is(name):
    assert user_path(Path(name)) == Path(name)


def test_weights_are_a_keyword_or_a_path():
    for weights in ("hub", "random", "weights/student.safetensors"):
        assert Example(weights=weights).weights == weights
    with pytest.raises(ValidationError, match="weights"):
        Example(weights="")
