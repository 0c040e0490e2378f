"""A temperature is fitted on the validation scenes, belongs to one model, and is never read from a damaged file."""

import json
import shutil

import pytest
from typer.testing import CliRunner

import pipeline.calibrate.run
from cli.main import app
from pipeline.calibrate.run import calibrate
from pipeline.calibration import calibration_file, read_calibration
from pipeline.train.run import train
from pipeline.trained import load_run, map_inference
from rsmtdf_core.errors import DataError, RunError
from rsmtdf_core.scenes.find import Dataset
from tests.pipeline.helpers import Messages

SHORT = ("objective.method=supervised", "optimiser.epochs=1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder for a run that is trained once."""
    return tmp_path_factory.mktemp("trained")


@pytest.fixture
def run(trained, make_config, tmp_path):
    """A copy of a short training."""
    if not (trained / "run").exists():
        train(make_config(*SHORT), trained / "run")
    return shutil.copytree(trained / "run", tmp_path / "run")


def test_the_temperature_is_fitted_on_val_and_written_to_the_run(run):
    predicted = []
    result = calibrate(run)
    again = calibrate(run)
    assert result == again
    model = load_run(run)
    assert (result.split, result.scenes) == ("val", 2)
    assert result.fit.pixels <= 2 * 72 * 72
    assert result.fit.fitted_nll <= result.fit.nll
    assert result.inference == map_inference(model)
    assert result.checkpoint == model.checkpoint.fingerprint
    assert read_calibration(model, predicted.append) == result
    assert not predicted


def test_a_temperature_of_another_model_is_ignored_with_a_sentence(run):
    calibrate(run, weights="student")
    warnings = []
    assert read_calibration(load_run(run), warnings.append) is None
    [text] = warnings
    assert "belongs to the student model of step 4, not to the ema model of step 4" in text
    assert f"rsmtdf calibrate {run} --checkpoint 4 --weights ema" in text


def test_a_run_without_a_temperature_has_none(run):
    warnings = []
    assert read_calibration(load_run(run), warnings.append) is None
    assert not warnings


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace('"temperature": ', '"temperature": 1'),
        lambda text: text[:-20],
        lambda _text: "{}\n",
        lambda _text: '{"format": 1}\n',
    ],
)
def test_a_damaged_file_is_refused_with_the_command(run, edit):
    calibrate(run)
    model = load_run(run)
    path = calibration_file(model)
    path.write_text(edit(path.read_text()))
    with pytest.raises(RunError) as caught:
        read_calibration(model, lambda _: None)
    assert caught.value.where == str(path)
    assert caught.value.remedy == f"rsmtdf calibrate {run}"


def test_the_file_says_how_it_was_made(run):
    result = calibrate(run)
    fields = json.loads(calibration_file(load_run(run)).read_text())
    assert fields["fit"]["temperature"] == result.temperature
    assert fields["split"] == "val"
    assert "fingerprint" in fields


def test_validation_scenes_that_are_tested_too_are_reported(run, monkeypatch):
    find = pipeline.calibrate.run.find_scenes

    def same(*arguments):
        dataset = find(*arguments)
        splits = {**dataset.splits, "test": dataset.splits["val"]}
        return Dataset(dataset.manifest, dataset.root, splits)

    monkeypatch.setattr(pipeline.calibrate.run, "find_scenes", same)
    messages = Messages()
    assert calibrate(run, reporter=messages).tested == 2
    assert any(
        "2 scenes of the split 'val' are in the test split too" in line for line in messages.lines
    )


def test_without_validation_scenes_there_is_no_fit(run, monkeypatch):
    monkeypatch.setattr(pipeline.calibrate.run, "scored_scenes", lambda _: ())
    with pytest.raises(DataError, match="the split 'val' has no scene with a mask"):
        calibrate(run)
    assert not calibration_file(load_run(run)).exists()


def test_the_command_prints_the_temperature(run):
    done = CliRunner().invoke(app, ["calibrate", str(run)], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "temperature " in done.output
    assert "calibration error" in done.output
    assert "calibration.json" in done.output
