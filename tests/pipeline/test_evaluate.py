"""A run is scored by several protocols in one pass, in the way that the command line says."""

import csv
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

import pipeline.evaluate
from cli.main import app
from pipeline.evaluate import evaluate, load_run
from pipeline.train import train
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.evaluation.counts import PixelCounts
from rsmtdf_core.evaluation.protocols.registry import PROTOCOLS
from rsmtdf_core.evaluation.report import read_report
from rsmtdf_core.manifests.reader import SceneReader

ALL = ("official", "rsmtdf", "dwl")
SHORT = ("objective.method=supervised", "optimiser.epochs=1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder for a run that is trained once."""
    return tmp_path_factory.mktemp("trained")


@pytest.fixture
def run(trained, make_config, monkeypatch, tmp_path):
    """A copy of a short training; the upper third of what it is scored on is ignored."""
    if not (trained / "run").exists():
        train(make_config(*SHORT), trained / "run")
    mask = SceneReader.mask

    def partly_ignored(reader, scene):
        ids = mask(reader, scene).copy()
        ids[: len(ids) // 3] = 255
        return ids

    monkeypatch.setattr(SceneReader, "mask", partly_ignored)
    return shutil.copytree(trained / "run", tmp_path / "run")


def test_several_protocols_score_the_predictions_of_one_pass(run, monkeypatch):
    passes = []
    count = pipeline.evaluate.count_confusion

    def counted(*arguments):
        passes.append(arguments)
        return count(*arguments)

    monkeypatch.setattr(pipeline.evaluate, "count_confusion", counted)
    report, folder = evaluate(run, protocols=ALL)
    assert len(passes) == 1
    assert read_report(folder / "report.json") == report
    assert (report.protocol, list(report.by_protocol)) == ("official", list(ALL))
    assert sum(report.ignored) == 2 * 24 * 72
    counts = PixelCounts(report.matrix, np.array(report.ignored))
    manifest = load_run(run).manifest
    for name in ALL:
        assert report.by_protocol[name] == PROTOCOLS[name](counts, manifest)
    with (folder / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["protocol"] for row in rows if row["class"] == "(all scored)"] == list(ALL)


def test_a_report_is_by_our_own_protocol_unless_another_is_asked_for(run):
    report, _ = evaluate(run)
    assert (report.protocol, report.others) == ("rsmtdf", ())


def test_overrides_change_how_scenes_pass_through_the_model_and_nothing_else(run):
    plain, _ = evaluate(run)
    scales = "evaluation.inference.scales=[0.5, 1.0, 1.5]"
    averaged, _ = evaluate(run, overrides=[scales, "evaluation.inference.flips=[horizontal]"])
    assert averaged.inference.scales == (0.5, 1.0, 1.5)
    assert averaged.inference.flips == ("horizontal",)
    assert averaged.matrix.sum() == plain.matrix.sum()
    assert averaged.confusion != plain.confusion
    with pytest.raises(ConfigError, match=r"takes no other student\.encoder"):
        evaluate(run, overrides=["student.encoder=test_vit"])
    with pytest.raises(ConfigError, match="did you mean 'scales'"):
        evaluate(run, overrides=["evaluation.inference.scale=[1]"])


def test_the_command_prints_a_table_for_each_protocol_with_its_rule(run):
    words = ["evaluate", str(run), "--protocol", "rsmtdf", "--protocol", "official"]
    words += ["--set", "evaluation.inference.flips=[vertical]"]
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert said.index("protocol rsmtdf") < said.index("protocol official")
    assert "Pixels whose truth is ignored count nowhere" in said
    assert "faults included" in said
