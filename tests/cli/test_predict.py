"""The options of `rsmtdf predict` become settings."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

import pipeline.predict
from cli.main import app
from pipeline.predict import PredictSettings
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.scenes.bands import BandSettings


@pytest.fixture
def others():
    """The further runs of the ensemble."""
    return []


@pytest.fixture
def asked(monkeypatch, others):
    """The arguments that the stage was called with."""
    calls = []

    def record(run, inputs, out, settings, reporter, *, overrides, checkpoint, ensemble, workers):
        assert checkpoint is None
        assert workers == 1
        calls.append((run, inputs, out, settings, overrides))
        others.extend(ensemble)
        return [out / "a.tif"]

    monkeypatch.setattr(pipeline.predict, "predict", record)
    return calls


def call(*arguments: str):
    return CliRunner().invoke(app, ["predict", "run", "a.tif", "folder", *arguments])


def test_without_options_maps_alone_are_written(asked):
    done = call()
    assert done.exit_code == 0
    assert "predictions/a.tif" in done.output
    inputs = [Path("a.tif"), Path("folder")]
    assert asked == [(Path("run"), inputs, Path("predictions"), PredictSettings(), [])]


def test_further_runs_are_an_ensemble(asked, others):
    assert call("--ensemble", "b", "--ensemble", "c").exit_code == 0
    assert asked
    assert others == [Path("b"), Path("c")]


@pytest.mark.parametrize(
    "flag",
    [
        "probabilities",
        "confidence",
        "disagreement",
        "uncalibrated",
        "polygons",
        "geopackage",
        "stac",
        "cog",
        "overwrite",
    ],
)
def test_each_flag_sets_its_setting(asked, flag):
    assert call(f"--{flag}").exit_code == 0
    assert asked[0][3] == PredictSettings(**{flag: True})


def test_the_detail_of_polygons_is_given_in_meters(asked):
    assert call("--min-area", "25.5", "--simplify", "2").exit_code == 0
    assert asked[0][3] == PredictSettings(min_area=25.5, simplify=2)
    assert call("--min-area=-1").exit_code == 2


def test_how_windows_pass_through_the_model_may_be_set(asked):
    overrides = ["evaluation.inference.batch=2", "evaluation.inference.flips=[vertical]"]
    assert call("--set", overrides[0], "--set", overrides[1]).exit_code == 0
    assert asked[0][4] == overrides


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--bands", "4,3,2"], BandSettings(indices=(4, 3, 2))),
        (["--scale", "0, 3000.5"], BandSettings(scale=[0, 3000.5])),
        (["--bands", "1,1,1", "--scale=-1,1"], BandSettings(indices=(1, 1, 1), scale=[-1, 1])),
    ],
)
def test_bands_and_scale_are_read_as_numbers(asked, options, expected):
    assert call(*options).exit_code == 0
    assert asked[0][3].bands == expected


@pytest.mark.parametrize(
    ("options", "key"),
    [
        (["--bands", "4,3"], "indices"),
        (["--bands", "r,g,b"], "indices"),
        (["--scale", "9,1"], "low"),
    ],
)
def test_invalid_bands_are_reported(asked, options, key):
    done = call(*options)
    assert isinstance(done.exception, ConfigError)
    assert key in done.exception.what
    assert done.exception.where == "--bands, --scale"
    assert not asked
