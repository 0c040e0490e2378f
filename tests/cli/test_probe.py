"""Output of `rsmtdf probe`."""

import json

import pytest
from typer.testing import CliRunner

from cli import console
from cli.main import app
from pipeline.demo.scenes import draw_scenes
from pipeline.probe import ProbeReport
from tests.pipeline.conftest import CONFIG


@pytest.fixture
def words(tmp_path, monkeypatch):
    draw_scenes(tmp_path / "scenes", 14, 72, seed=3)
    text = CONFIG.replace("SCENES", str(tmp_path / "scenes")).replace(
        "CACHE", str(tmp_path / "cache")
    )
    path = tmp_path / "tiny.yaml"
    path.write_text(text.replace("RUNS", str(tmp_path / "runs")))
    monkeypatch.setattr(console.out, "_width", 200)
    return ["probe", str(path), "--set", "data.labeled=1", "--views", "6", "--scenes", "3"]


def test_the_table_has_scores_costs_and_the_conclusion(words):
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    for word in (
        "vit (RANDOM WEIGHTS)",
        "vit + cnn",
        "student, random weights",
        "KiB",
        "3 folds",
        "ms",
    ):
        assert word in result.output, word
    assert "no teacher is clearly better" in result.output or "is worth caching" in result.output


def test_json_is_the_report(words):
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, result.output
    report = ProbeReport.model_validate(json.loads(result.stdout))
    assert report.views == 6
    assert [score.kind for score in report.features] == ["teacher", "teacher", "pair", "student"]


@pytest.mark.parametrize("option", [["--views", "1"], ["--scenes", "0"], ["--split", "all"]])
def test_options_have_bounds(words, option):
    assert CliRunner().invoke(app, [*words, *option]).exit_code == 2
