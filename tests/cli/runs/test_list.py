"""`rsmtdf runs` shows a row for each run and a line for each folder that is not a run."""

import json

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.pipeline.conftest import config_file, make_config, scenes  # noqa: F401 - fixtures
from tests.pipeline.runs.written import write_run


def call(*words):
    return CliRunner().invoke(app, ["runs", *map(str, words)], env={"COLUMNS": "250"})


@pytest.fixture
def folder(make_config, tmp_path):  # noqa: F811
    folder = tmp_path / "runs"
    config = make_config("objective.method=supervised", "seed=7", "data.labeled=1/2")
    write_run(folder / "a", config, (0.25, 0.75), status="interrupted", steps=8, total=1200)
    write_run(folder / "b", make_config(), status="running")
    (folder / "notes").mkdir()
    return folder


def test_each_run_has_a_row_with_its_facts(folder):
    done = call(folder)
    assert done.exit_code == 0, done.output
    row = next(line for line in done.output.splitlines() if "supervised" in line)
    for text in ("synthetic", "1/2", " 7 ", "8 / 1,200", "none", "75.00", "interrupted"):
        assert text in row, row
    other = next(line for line in done.output.splitlines() if "rs-mtdf" in line)
    assert "K 2" in other
    assert "killed" in other
    assert "notes: " in done.output
    assert "RANDOM WEIGHTS" in done.output


def test_the_best_come_first_on_request(folder, make_config):  # noqa: F811
    write_run(folder / "z", make_config("objective.method=supervised"), (0.9,))
    listed = json.loads(call(folder, "--json", "--sort", "best").stdout)
    assert [run["run"] for run in listed["runs"]] == ["z", "a", "b"]
    assert [problem["run"] for problem in listed["problems"]] == ["notes"]


def test_a_labeled_seed_and_an_odd_share_are_shown(folder, make_config):  # noqa: F811
    config = make_config("objective.method=supervised", "data.labeled=0.3", "data.labeled_seed=4")
    write_run(folder / "c", config)
    assert "0.3 #4" in call(folder).output
