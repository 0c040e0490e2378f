"""Runs are found at any of four depths, sorted as asked, and a damaged one hides no other."""

import os

import pytest

from pipeline.runs.finding import find_runs, list_runs
from rsmtdf_core.errors import RunError
from tests.pipeline.runs.written import write_run

SUPERVISED = "objective.method=supervised"


@pytest.fixture
def folder(make_config, tmp_path):
    """Three runs at different depths, with different scores."""
    config = make_config(SUPERVISED)
    folder = tmp_path / "runs"
    for name, score in (("b", 0.5), ("a", 0.25), ("group/deep/c", 0.75)):
        write_run(folder / name, config, (score,), status="finished", steps=4)
    write_run(folder / "d", config, status="running")
    return folder


def names(result):
    return [summary.run for summary in result.runs]


def test_runs_are_sorted_by_name_score_or_date(folder):
    assert names(list_runs(folder)) == ["a", "b", "d", "group/deep/c"]
    assert names(list_runs(folder, "best")) == ["group/deep/c", "b", "a", "d"]
    for age, name in enumerate(("d", "a", "group/deep/c", "b")):
        for file in ("run.json", "metrics.jsonl"):
            if (folder / name / file).exists():
                os.utime(folder / name / file, (10**9 - 90_000 * age,) * 2)
    assert names(list_runs(folder, "date")) == ["d", "a", "group/deep/c", "b"]


def test_a_run_itself_is_a_list_of_one(folder):
    assert names(list_runs(folder / "a")) == ["a"]


def test_damaged_runs_and_other_folders_are_named_in_a_line(folder):
    config = folder / "a" / "config.yaml"
    config.write_text(config.read_text() + "more: 1\n")
    (folder / "b" / "run.json").unlink()
    (folder / "notes").mkdir()
    result = list_runs(folder)
    assert names(result) == ["d", "group/deep/c"]
    problems = {problem.run: problem.problem for problem in result.problems}
    assert list(problems) == ["a", "b", "notes"]
    assert problems["a"].startswith("config.yaml: ")
    assert problems["b"].startswith("run.json: ") or "run" in problems["b"]
    assert all("\n" not in problem for problem in problems.values())


def test_links_hidden_folders_and_folders_deeper_than_four_are_left_out(folder, make_config):
    config = make_config(SUPERVISED)
    for path in (".hidden/e", "1/2/3/4/f", "1/2/3/g"):
        write_run(folder / path, config)
    (folder / "link").symlink_to(folder / "a")
    runs, _ = find_runs(folder)
    relative = {str(path.relative_to(folder)) for path in runs}
    assert relative == {"a", "b", "d", "group/deep/c", "1/2/3/g"}


def test_a_folder_that_cannot_be_listed_is_empty(folder, monkeypatch):
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("group"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert names(list_runs(folder)) == ["a", "b", "d"]


def test_no_folder_and_no_run_are_errors_with_a_way_on(tmp_path):
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(RunError) as caught:
            list_runs(path)
        assert caught.value.where == str(path)
        assert "rsmtdf train" in caught.value.remedy
