"""Stages from Python compute the same as on the command line."""

import json
import os
import signal

import pytest
import torch
from typer.testing import CliRunner

import rsmtdf
from cli.main import app
from pipeline.train.signals import Interrupted
from rsmtdf_core.errors import ConfigError, RsmtdfError


def losses(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def test_calls_may_be_repeated_with_the_same_result(extracted, tmp_path):
    first = rsmtdf.train(extracted, tmp_path / "first", max_steps=2).run
    torch.rand(3)  # the caller's own use of the global generators changes nothing
    second = rsmtdf.train(extracted, tmp_path / "second", max_steps=2).run
    assert len(losses(first)) == 2
    assert losses(first) == losses(second)
    assert rsmtdf.extract_features(extracted).rendered == 0


def test_a_training_is_that_of_the_command_line(extracted, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(extracted, default=str))
    words = ["train", str(config), "--run", str(tmp_path / "cli"), "--max-steps", "2"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert losses(tmp_path / "cli") == losses(
        rsmtdf.train(config, tmp_path / "api", max_steps=2).run
    )


def test_ctrl_c_in_a_training_is_an_error_and_a_checkpoint(extracted, tmp_path, monkeypatch):
    from rsmtdf_core.training.loop import Training

    steps = Training.steps

    def interrupted(self, start):
        for record in steps(self, start):
            os.kill(os.getpid(), signal.SIGINT)
            yield record

    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(Training, "steps", interrupted)
        with pytest.raises(Interrupted, match="SIGINT after step 1"):
            rsmtdf.train(extracted, tmp_path / "run", max_steps=2)
    assert signal.getsignal(signal.SIGINT) is handler
    assert rsmtdf.train(extracted, tmp_path / "run", resume=True, max_steps=2).steps == 2


def test_one_input_or_several(run, values, tmp_path):
    images = sorted((values["data"]["root"] / "images").iterdir())[:2]
    [single] = rsmtdf.predict(run, str(images[0]), tmp_path / "one")
    both = rsmtdf.predict(
        run, images, tmp_path / "both", overrides=["evaluation.inference.batch=1"]
    )
    assert single.read_bytes() == both[0].read_bytes()
    assert len(both) == 2


def test_errors_are_ours(values, run, tmp_path):
    with pytest.raises(ConfigError, match="optimiser"):
        rsmtdf.train(values, overrides={"optimiser.epoch": 3})
    with pytest.raises(ConfigError, match="resume"):
        rsmtdf.train(values, resume=True, overwrite=True)
    with pytest.raises(RsmtdfError):
        rsmtdf.evaluate(tmp_path / "none")
    with pytest.raises(RsmtdfError):
        rsmtdf.open_features(values, overrides={"runtime.cache": tmp_path / "empty"})
    with pytest.raises(ConfigError, match="no teacher is named sam"):
        rsmtdf.open_features(values, teachers=["sam"])
    with pytest.raises(RsmtdfError):
        rsmtdf.load_student(tmp_path)
