"""Runs are listed with their properties, and compared over seeds with warnings about unfair comparisons."""

import csv
import json
import shutil
import statistics
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from cli.main import app
from pipeline.evaluate.run import evaluate
from pipeline.extract.run import extract
from pipeline.runs import list_runs
from pipeline.runs.compare import compare
from pipeline.train.run import train
from rsmtdf_core.errors import RunError
from rsmtdf_core.runs.folder import open_run
from rsmtdf_core.runs.metrics import write_metrics
from rsmtdf_core.scenes.manifest import load_manifest

from .written import write_run

SHORT = "optimiser.epochs=1"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder for runs that are trained once."""
    return {"at": tmp_path_factory.mktemp("trained")}


@pytest.fixture
def runs(trained, make_config, tmp_path) -> Path:
    """Two seeds of fixmatch, two of rs-mtdf, one of rs-mtdf with other fusion; a copy to do harm to."""
    arms = {
        "fixmatch": ("objective.method=fixmatch",),
        "weighted": (),
        "attention": ("student.fusion.mode=attention",),
    }
    if len(trained) == 1:
        extract(make_config())
        for name, overrides in arms.items():
            for seed in (0, 1) if name != "attention" else (0,):
                config = make_config(*overrides, SHORT, f"seed={seed}")
                trained[f"{name}-{seed}"] = train(config, trained["at"] / f"{name}-{seed}").run
    shutil.copytree(trained["at"], tmp_path / "copies")
    return tmp_path / "copies"


def rescored(run: Path, miou: float) -> None:
    """Let a run have reached another score."""
    folder = open_run(run)
    lines = folder.read_metrics()
    write_metrics(
        folder.metrics, [line | {"miou": miou} if "miou" in line else line for line in lines]
    )
    folder.note(validations=[asdict(replace(item, miou=miou)) for item in folder.validations])


def test_runs_are_listed_with_their_facts(runs):
    listed = {summary.run: summary for summary in list_runs(runs).runs}
    assert set(listed) == {"attention-0", "fixmatch-0", "fixmatch-1", "weighted-0", "weighted-1"}
    run = listed["weighted-1"]
    assert (run.method, run.dataset, run.labeled, run.seed) == ("rs-mtdf", "synthetic", 0.25, 1)
    assert (run.steps, run.total, run.status) == (4, 4, "finished")
    assert (run.features.source, run.features.views) == ("cached", 2)
    assert [store.split("/")[1].split("-")[0] for store in run.features.stores] == ["vit", "cnn"]
    assert set(run.random_teachers) == {"vit", "cnn"}
    assert listed["fixmatch-0"].features.source == "none"
    assert run.best_miou == pytest.approx(
        next(
            line["miou"] for line in open_run(runs / "weighted-1").read_metrics() if "miou" in line
        )
    )


def test_runs_are_sorted_by_score_on_request(runs):
    rescored(runs / "fixmatch-1", 0.9)
    rescored(runs / "weighted-0", 0.8)
    assert [run.run for run in list_runs(runs, "best").runs][:2] == ["fixmatch-1", "weighted-0"]
    assert next(run.run for run in list_runs(runs).runs) == "attention-0"


def test_damaged_runs_are_reported_and_others_are_listed(runs):
    (runs / "weighted-0" / "config.yaml").write_text("name: [")
    (runs / "fixmatch-0" / "run.json").unlink()
    (runs / "notes").mkdir()
    listed = list_runs(runs)
    assert len(listed.runs) == 3
    assert [problem.run for problem in listed.problems] == ["fixmatch-0", "notes", "weighted-0"]
    with pytest.raises(RunError, match="the folder does not exist"):
        list_runs(runs / "absent")
    with pytest.raises(RunError, match="no run here"):
        list_runs(runs / "notes")


def test_a_changed_lock_is_reported(runs):
    lock = runs / "weighted-0" / "cache.lock.json"
    lock.write_text(lock.read_text().replace("fp16", "fp61", 1))
    (problem,) = list_runs(runs).problems
    assert problem.run == "weighted-0"


def test_the_list_is_for_programs_too(runs):
    result = CliRunner().invoke(app, ["runs", str(runs), "--json"])
    assert result.exit_code == 0
    assert {run["run"] for run in json.loads(result.stdout)["runs"]} >= {"fixmatch-0"}
    table = CliRunner().invoke(app, ["runs", str(runs)], env={"COLUMNS": "220"})
    assert "RANDOM WEIGHTS" in table.output


def test_groups_differ_in_settings_and_spread_over_seeds(runs, tmp_path):
    for name, score in {
        "fixmatch-0": 0.4,
        "fixmatch-1": 0.5,
        "weighted-0": 0.7,
        "weighted-1": 0.74,
    }.items():
        rescored(runs / name, score)
    comparison = compare([runs], tmp_path / "out")
    groups = {group.label: group for group in comparison.groups}
    assert len(groups) == 3
    fixmatch = next(group for label, group in groups.items() if label.startswith("fixmatch"))
    assert fixmatch.miou.mean == pytest.approx(0.45)
    assert fixmatch.miou.std == pytest.approx(statistics.stdev([0.4, 0.5]))
    alone = next(group for label, group in groups.items() if "attention" in label)
    assert (alone.miou.runs, alone.miou.std) == (1, None)
    assert any("different seeds" in sentence for sentence in comparison.warnings)
    assert any("RANDOM" in sentence.upper() for sentence in comparison.warnings)
    with (tmp_path / "out" / "table.csv").open() as file:
        rows = {row["group"]: row for row in csv.DictReader(file)}
    assert float(rows[fixmatch.label]["miou mean"]) == pytest.approx(0.45)
    assert rows[alone.label]["miou std"] == ""
    assert "45.00 ± 7.07" in (tmp_path / "out" / "table.md").read_text()
    assert json.loads((tmp_path / "out" / "table.json").read_text())["dataset"] == "synthetic"


def test_pictures_show_every_group_in_its_colour(runs, tmp_path):
    comparison = compare([runs], tmp_path / "out")
    for name in ("curves.png", "scores.png"):
        with Image.open(tmp_path / "out" / name) as picture:
            pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
        colors = {tuple(color) for color in np.unique(pixels, axis=0)}
        assert {(0, 0x72, 0xB2), (0xD5, 0x5E, 0), (0, 0x9E, 0x73)} <= colors, name
    assert len(comparison.groups) == 3


def test_reports_are_compared_if_a_split_is_named(runs, tmp_path):
    both = [runs / "fixmatch-0", runs / "fixmatch-1"]
    with pytest.raises(RunError, match="2 of 2 runs have not been scored on test") as caught:
        compare(both, tmp_path / "out", "test")
    assert "rsmtdf evaluate" in caught.value.remedy
    reports = [evaluate(run)[0] for run in both]
    (group,) = compare(both, tmp_path / "out", "test", classes=True).groups
    assert group.miou.mean == pytest.approx(np.mean([report.scores.miou for report in reports]))
    assert group.overall_accuracy.mean == pytest.approx(
        np.mean([report.scores.overall_accuracy for report in reports])
    )
    assert len(group.classes) == 6


def test_runs_of_other_data_are_not_compared(runs, tmp_path):
    manifest = runs / "fixmatch-1" / "manifest.yaml"
    manifest.write_text(yaml.safe_dump(yaml.safe_load(manifest.read_text()) | {"name": "other"}))
    with pytest.raises(RunError, match="different data cannot be compared"):
        compare([runs], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unfair_differences_are_reported(runs, make_config, tmp_path):
    open_run(runs / "fixmatch-1").note(status="interrupted", steps=2)
    longer = train(
        make_config("objective.method=fixmatch", "optimiser.epochs=3", "data.labeled=1/2"),
        tmp_path / "longer",
    ).run
    comparison = compare([runs / "fixmatch-0", runs / "fixmatch-1", longer], None)
    text = " ".join(comparison.warnings)
    assert "is not complete" in text
    assert "different lengths in steps" in text
    assert "different labeled scenes" in text


def test_the_command_prints_the_table_and_the_paths_of_the_other_files(runs, tmp_path):
    words = ["compare", str(runs), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "best validation mIoU on synthetic" in result.output
    assert "fixmatch" in result.output


def test_runs_of_several_folds_are_one_group(make_config, tmp_path):
    values = load_manifest("synthetic").model_dump(mode="json")
    splits = {"train": {"folds": [2]}, "val": {"folds": [1]}, "test": {"folds": [0]}}
    path = tmp_path / "folded.yaml"
    path.write_text(yaml.safe_dump({**values, "folds": 3, "splits": splits}))
    for fold, miou in enumerate((0.2, 0.4, 0.6)):
        config = make_config(
            f"data.manifest={path}", f"data.fold={fold}", "objective.method=supervised"
        )
        assert config.run_folder.name == f"tiny-supervised-fold{fold}-seed0"
        write_run(tmp_path / "folds" / config.run_folder.name, config, (miou,))
    comparison = compare([tmp_path / "folds"], tmp_path / "out")
    (group,) = comparison.groups
    assert group.miou.mean == pytest.approx(0.4)
    assert group.miou.runs == 3
    assert [run.fold for run in group.runs] == [0, 1, 2]
    assert group.seeds_text == "1 x 3 folds"
    assert not any(
        "different seeds" in sentence or "independent" in sentence
        for sentence in comparison.warnings
    )
    assert not any("manifest" in sentence for sentence in comparison.warnings)
    assert "over the seeds and folds" in (tmp_path / "out" / "table.md").read_text()
    assert "folds" in (tmp_path / "out" / "table.csv").read_text().splitlines()[0]
