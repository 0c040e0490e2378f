"""Settings that contradict each other are refused."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.data.prepare.settings import PrepareSettings


def settings(benchmark="loveda", **values):
    return PrepareSettings(benchmark=benchmark, source=(Path("a"),), to=Path("b"), **values)


def test_an_unknown_benchmark_gets_the_near_one():
    with pytest.raises(ValidationError, match="did you mean 'potsdam'"):
        settings("postdam")


def test_only_crops_are_padded():
    assert settings(crops=True, padding_label="dwl").padding_label == "dwl"
    with pytest.raises(ValidationError, match="--crops"):
        settings(padding_label="dwl")
