"""The commands suggest and search print their lists, and errors as others do."""

import json

import pytest
from typer.testing import CliRunner

from cli.main import app
from pipeline.extract.run import extract
from pipeline.plan import plan_experiment
from tests.pipeline.conftest import config_file, make_config, scenes  # noqa: F401


def call(*words):
    return CliRunner().invoke(app, list(map(str, words)), env={"COLUMNS": "200"})


@pytest.fixture
def extracted(make_config):  # noqa: F811
    config = make_config("runtime.extract_workers=1")
    extract(config)
    return config


def test_suggest_prints_a_list_and_writes_a_sheet(extracted, config_file, tmp_path):  # noqa: F811
    done = call("suggest", config_file, "--count", 3, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "(has a mask)" in done.output
    assert "RANDOM WEIGHTS" in done.output
    assert (tmp_path / "out/suggestions.png").is_file()
    listed = json.loads(
        call("suggest", config_file, "--count", 3, "--out", tmp_path / "b", "--json").stdout
    )
    assert all(scene["scene"] in done.output for scene in listed["scenes"])


def test_search_prints_boxes(extracted, config_file, tmp_path):  # noqa: F811
    scene = plan_experiment(extracted).plan.scenes[0].id
    done = call("search", config_file, "--like", scene, "--count", 2, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert f"most similar to scene {scene}" in done.output
    assert (tmp_path / "out/matches.png").is_file()


def test_a_store_takes_no_overrides(tmp_path):
    done = call("search", tmp_path, "--like", "x", "--set", "seed=1")
    assert "need a config" in str(done.exception)
