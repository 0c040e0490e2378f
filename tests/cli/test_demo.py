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
            report=scored(0.7),
            alone=scored(0.6),
            folder=folder,
            run=folder / "run",
            page=folder / "report.html",
        )

    monkeypatch.setattr(pipeline.demo.run, "run_demo", record)
    monkeypatch.setattr(cli.demo, "show_report", lambda report: None)
    return calls


def scored(miou):
    return SimpleNamespace(scores=SimpleNamespace(miou=miou))


def call(*words):
    return CliRunner().invoke(app, ["demo", *words], env={"COLUMNS": "200"})


def test_the_page_and_the_next_commands_follow_the_scores(calls):
    done = call()
    assert done.exit_code == 0, done.output
    assert calls == [(Path("outputs/demo"), None, None)]
    assert "60.0 from labels alone, 70.0 with teachers" in done.output
    assert "outputs/demo/report.html" in done.output
    assert "rsmtdf predict outputs/demo/run" in done.output
    assert "rsmtdf start FOLDER" in done.output


def test_real_scenes_need_real_teachers(calls):
    assert call("--data", "dubai").exit_code == 2
    assert call("--weights", "weights").exit_code == 2
    assert calls == []
    call("--data", "dubai", "--weights", "weights", "--out", "to")
    assert calls == [(Path("to"), Path("dubai"), Path("weights"))]
