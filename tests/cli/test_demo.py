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
        return SimpleNamespace(
            report=None,
            folder=folder,
            run=folder / "run",
            comparison=None,
            page=folder / "report.html",
        )

    monkeypatch.setattr(pipeline.demo.run, "run_demo", record)
    monkeypatch.setattr(cli.demo, "show_report", lambda report: None)
    monkeypatch.setattr(cli.demo, "show_comparison", lambda comparison, classes: None)
    return calls


def call(*words):
    return CliRunner().invoke(app, ["demo", *words], env={"COLUMNS": "200"})


def test_the_page_and_the_next_commands_follow_the_scores(calls):
    done = call()
    assert done.exit_code == 0, done.output
    assert calls == [(Path("outputs/demo"), None, None)]
    assert "outputs/demo/report.html" in done.output
    assert "rsmtdf predict outputs/demo/run" in done.output
    assert "rsmtdf start FOLDER" in done.output


def test_real_scenes_need_real_teachers(calls):
    assert call("--data", "dubai").exit_code == 2
    assert call("--weights", "weights").exit_code == 2
    assert calls == []
    call("--data", "dubai", "--weights", "weights", "--out", "to")
    assert calls == [(Path("to"), Path("dubai"), Path("weights"))]
