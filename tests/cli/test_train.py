"""The help of `rsmtdf train`, and how its options reach the training."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import pipeline.train.run
from cli.main import app

ROOM = {"COLUMNS": "200", "TERM": "dumb"}


def run(*words):
    return CliRunner().invoke(app, ["train", *words], env=ROOM)


def test_help_distinguishes_resume_init_from_and_overwrite():
    result = run("--help")
    assert result.exit_code == 0
    text = " ".join(result.output.split())
    assert "--resume continues it" in text
    assert "--init-from starts another run from its weights" in text
    assert "--overwrite deletes it" in text
    for word in ("130 or 143", "--max-steps", "--profile", "torchrun --nproc-per-node N"):
        assert word in text


@pytest.mark.parametrize("other", [("--overwrite",), ("--init-from", "runs/x")])
def test_resume_excludes_overwrite_and_init_from(other):
    result = run("demo", "--resume", *other)
    assert result.exit_code == 2
    assert "--resume excludes --overwrite and --init-from" in result.output


def test_the_words_reach_the_training(monkeypatch):
    asked = {}

    def trained(config, folder, **words):
        asked.update(words, steps=config.optimiser.max_steps, folder=folder)
        return SimpleNamespace(
            steps=7,
            parameters=2e6,
            best_miou=None,
            trains_head=True,
            status="stopped early",
            run=Path("runs/x"),
        )

    monkeypatch.setattr(pipeline.train.run, "train", trained)
    words = ("--max-steps", "7", "--profile", "--overwrite", "--init-from", "runs/y")
    result = run("demo", "--set", "data.root=.", "--run", "runs/x", *words)
    assert result.exit_code == 0, result.output
    assert asked["steps"] == 7
    assert (asked["profile"], asked["overwrite"], asked["resume"]) == (True, True, False)
    assert (asked["init_from"], asked["folder"]) == (Path("runs/y"), Path("runs/x"))
    assert "7 steps (stopped early), 2.0 M parameters, no validation split" in result.output


def test_a_best_model_of_one_class_is_announced_and_not_praised(monkeypatch):
    report = SimpleNamespace(
        steps=7,
        parameters=2e6,
        best_miou=0.4131,
        best_epoch=1,
        weights="ema",
        only_class="water [deep]",
        trains_head=True,
        status="finished",
        run=Path("runs/x"),
    )
    monkeypatch.setattr(pipeline.train.run, "train", lambda *_args, **_words: report)
    result = run("demo", "--set", "data.root=.", "--run", "runs/x")
    assert result.exit_code == 0, result.output
    output = " ".join(result.output.split())
    assert "the best model predicts water [deep] everywhere: val mIoU 41.31" in output
    assert "no model of this run does better than water [deep] everywhere" in output
    assert "best val mIoU" not in output
