"""The options of `rsmtdf calibrate` reach the stage."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

import pipeline.calibrate.run
from cli.main import app
from pipeline.calibration import Calibration
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.evaluation.temperature import TemperatureFit

RESULT = Calibration(
    checkpoint="ab" * 32,
    weights="ema",
    steps=4,
    split="val",
    scenes=2,
    inference=InferenceSettings(),
    fit=TemperatureFit(temperature=1.25, pixels=1000, nll=0.5, fitted_nll=0.4),
    ece=0.1,
    fitted_ece=0.02,
)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], (None, None, None)),
        (["--weights", "student"], ("student", None, None)),
        (["--root", "data"], (None, Path("data"), None)),
        (["--checkpoint", "last"], (None, None, "last")),
    ],
)
def test_each_option_reaches_the_stage(monkeypatch, options, expected):
    calls = []

    def record(run, weights, root, reporter, *, checkpoint):
        calls.append((run, weights, root, checkpoint))
        return RESULT

    monkeypatch.setattr(pipeline.calibrate.run, "calibrate", record)
    done = CliRunner().invoke(app, ["calibrate", "runs/a", *options], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert calls == [(Path("runs/a"), *expected)]
    assert "temperature 1.25, fitted on 1,000 pixels of the val split" in done.output
    assert "10.00 % before, 2.00 % after" in done.output
