"""`rsmtdf demo` runs on drawn scenes, or on real ones with real teachers."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import cli.demo
import pipeline.demo.run
from cli.main import app


@pytest.fixture
def calls(monkeypatch):
    calls = []

    def record(folder, data, weights, reporter):
        calls.append((folder, data, weights))
        return SimpleNamespace(report=None, folder=folder, run=folder / "run")

    monkeypatch.setattr(pipeline.demo.run, "run_demo", record)
    monkeypatch.setattr(cli.demo, "show_report", lambda report: None)
    return calls


def call(*words):
    return CliRunner().invoke(app, ["demo", *words], env={"COLUMNS": "200"})


def test_drawn_scenes_come_with_a_warning_and_the_next_command(calls):
    done = call()
    assert done.exit_code == 0, done.output
    assert calls == [(Path("outputs/demo"), None, None)]
    assert "RANDOM WEIGHTS" in done.output
    assert "rsmtdf predict outputs/demo/run" in done.output


def test_real_scenes_need_real_teachers(calls):
    assert call("--data", "dubai").exit_code == 2
    assert call("--weights", "weights").exit_code == 2
    assert calls == []
    done = call("--data", "dubai", "--weights", "weights", "--out", "to")
    assert calls == [(Path("to"), Path("dubai"), Path("weights"))]
    assert "RANDOM WEIGHTS" not in done.output
