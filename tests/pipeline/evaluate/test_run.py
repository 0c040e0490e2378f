"""A run is scored by several protocols in a single pass, as the command line requests."""

import csv
import shutil
from dataclasses import asdict

import numpy as np
import pytest
from typer.testing import CliRunner

import pipeline.evaluate.scenes
import pipeline.train.validation
import rsmtdf_core.evaluation.crops
from cli.main import app
from pipeline.calibrate.run import calibrate
from pipeline.evaluate.run import evaluate
from pipeline.reporter import Silent
from pipeline.runs.compare import compare
from pipeline.train.run import train
from pipeline.trained import load_run
from rsmtdf_core.errors import ConfigError, RunError
from rsmtdf_core.evaluation.counts import PixelCounts
from rsmtdf_core.evaluation.protocols.find import find_protocols
from rsmtdf_core.evaluation.report import read_report
from rsmtdf_core.runs.folder import open_run
from rsmtdf_core.runs.history import Validation
from rsmtdf_core.scenes.reader import SceneReader

ALL = ("official", "rsmtdf", "dwl")
SHORT = ("objective.method=supervised", "optimiser.epochs=1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder for a run that is trained once."""
    return tmp_path_factory.mktemp("trained")


@pytest.fixture
def run(trained, make_config, monkeypatch, tmp_path):
    """A copy of a short training; the upper third of its test masks is ignored."""
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
    count = rsmtdf_core.evaluation.crops.count_confusion

    def counted(*arguments):
        passes.append(arguments)
        return count(*arguments)

    monkeypatch.setattr(rsmtdf_core.evaluation.crops, "count_confusion", counted)
    report, folder = evaluate(run, protocols=ALL)
    assert len(passes) == 1
    assert read_report(folder / "report.json") == report
    assert (report.protocol, list(report.by_protocol)) == ("official", list(ALL))
    assert sum(report.ignored) == 2 * 24 * 72
    counts = PixelCounts(report.matrix, np.array(report.ignored))
    manifest = load_run(run).manifest
    for rule in find_protocols(ALL):
        scored = rule(counts, manifest).model_copy(update={"crops": "2 images of 72 x 72 px"})
        assert report.by_protocol[rule.name] == scored
    with (folder / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["protocol"] for row in rows if row["class"] == "(all scored)"] == list(ALL)


def test_a_report_has_our_protocol_by_default(run):
    report, _ = evaluate(run)
    assert (report.protocol, report.others) == ("rsmtdf", ())


def test_each_scene_has_its_scores_and_the_worst_ones_an_error_map(run):
    report, folder = evaluate(run)
    assert len(report.scenes) == report.images == 2
    assert sum(scene.pixels for scene in report.scenes) == report.matrix.sum()
    wrong = report.matrix.sum() - report.matrix.trace()
    assert sum(scene.wrong for scene in report.scenes) == wrong > 0
    with (folder / "scenes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["scene"] for row in rows] == [scene.scene for scene in report.scenes]
    assert (folder / "errors.png").stat().st_size > 1000
    result = CliRunner().invoke(app, ["evaluate", str(run)], env={"COLUMNS": "200"})
    assert "worst scenes: " in result.output


def test_without_errors_an_earlier_error_map_is_removed(run, monkeypatch):
    _, folder = evaluate(run)
    truth = SceneReader.mask
    monkeypatch.setattr(pipeline.evaluate.scenes, "worst_scenes", lambda *_: [])
    monkeypatch.setattr(SceneReader, "mask", truth)
    evaluate(run)
    assert not (folder / "errors.png").exists()


def test_the_calibration_error_is_reported_with_and_without_a_temperature(run):
    report, folder = evaluate(run)
    [plain] = report.reliability
    assert sum(entry.pixels for entry in plain.bins) == report.matrix.sum()
    assert (folder / "reliability.png").is_file()
    calibration = calibrate(run)
    report, _ = evaluate(run)
    before, after = report.reliability
    assert before == plain
    assert after.temperature == calibration.temperature
    assert any("fitted on" in note for note in report.notes)
    report, _ = evaluate(run, "val")
    assert any("lower than on others" in note for note in report.notes)
    warnings = []

    class Warned(Silent):
        def warn(self, text):
            warnings.append(text)

    report, _ = evaluate(run, weights="student", reporter=Warned())
    assert len(report.reliability) == 1
    assert any("belongs to the ema model of step 4" in text for text in warnings)


def test_overrides_change_the_inference_and_not_the_run(run):
    plain, _ = evaluate(run)
    scales = "evaluation.inference.scales=[0.5, 1.0, 1.5]"
    averaged, _ = evaluate(run, overrides=[scales, "evaluation.inference.flips=[horizontal]"])
    assert averaged.inference.scales == (0.5, 1.0, 1.5)
    assert averaged.inference.flips == ("horizontal",)
    assert averaged.matrix.sum() == plain.matrix.sum()
    assert averaged.confusion != plain.confusion
    with pytest.raises(ConfigError, match=r"student\.encoder cannot be changed"):
        evaluate(run, overrides=["student.encoder=test_vit"])
    with pytest.raises(ConfigError, match="did you mean 'scales'"):
        evaluate(run, overrides=["evaluation.inference.scale=[1]"])
    with pytest.raises(ConfigError) as caught:
        evaluate(run, overrides=["evaluation.inference.overlap=7"])
    assert caught.value.where == "--set evaluation.inference.overlap=7"


def test_runs_are_compared_by_the_protocol_named(run):
    report, _ = evaluate(run, protocols=["rsmtdf", "official"])
    (group,) = (comparison := compare([run], None, "test", protocol="official")).groups
    assert group.miou.mean == report.by_protocol["official"].scores.miou != report.scores.miou
    assert comparison.measure == "mIoU on test by protocol official"
    (group,) = (comparison := compare([run], None, "test")).groups
    assert group.miou.mean == report.scores.miou
    assert comparison.measure == "mIoU on test by protocol rsmtdf"


def test_a_protocol_without_a_mean_is_reported_and_tables_remain(run, monkeypatch, tmp_path):
    counts = PixelCounts(np.eye(6, dtype=int), np.zeros(6, int))
    counts.matrix[5, 5] = 0
    count = rsmtdf_core.evaluation.crops.count_confusion

    def counted(*arguments):
        count(*arguments)
        return counts

    monkeypatch.setattr(rsmtdf_core.evaluation.crops, "count_confusion", counted)
    report, _ = evaluate(run, protocols=["dwl"])
    assert (report.scores.miou, report.scores.absent) == (None, ("soil",))
    comparison = compare([run], tmp_path / "out", "test")
    assert comparison.groups[0].miou is None
    assert any("has no mean IoU" in sentence for sentence in comparison.warnings)
    assert not any("no score yet" in sentence for sentence in comparison.warnings)


def test_a_run_not_scored_by_the_protocol_is_reported_with_a_remedy(run):
    evaluate(run, protocols=["rsmtdf"])
    with pytest.raises(RunError, match="1 of 1 runs have not been scored by protocol dwl") as error:
        compare([run], None, "test", protocol="dwl")
    assert error.value.remedy == (
        f"rsmtdf evaluate {run} --split test --protocol rsmtdf --protocol dwl"
    )


def test_reports_by_different_protocols_are_called_unfair(run, make_config):
    other = train(make_config(*SHORT, "seed=1")).run
    evaluate(run, protocols=["rsmtdf"])
    evaluate(other, protocols=["official"])
    comparison = compare([run, other], None, "test")
    assert "the reports differ in protocol" in comparison.warnings
    assert comparison.measure == "mIoU on test by protocol rsmtdf and official"


def test_the_command_prints_a_table_for_each_protocol_with_its_rule(run):
    words = ["evaluate", str(run), "--protocol", "rsmtdf", "--protocol", "official"]
    words += ["--set", "evaluation.inference.flips=[vertical]"]
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    output = " ".join(result.output.split())
    assert output.index("protocol rsmtdf") < output.index("protocol official")
    assert "without pixels whose truth is ignored" in output
    assert "faults included" in output
    compared = ["compare", str(run), "--split", "test", "--protocol", "official"]
    result = CliRunner().invoke(app, [*compared, "--out", str(run.parent / "out")])
    assert result.exit_code == 0, result.output
    assert "by protocol official" in " ".join(result.output.split())


def only_soil(counts_of):
    """Counts the same pixels, all of them predicted as one class."""

    def counted(*arguments):
        counts = counts_of(*arguments)
        matrix, ignored = np.zeros_like(counts.matrix), np.zeros_like(counts.ignored)
        matrix[:, 5], ignored[5] = counts.matrix.sum(axis=1), counts.ignored.sum()
        return PixelCounts(matrix, ignored)

    return counted


def test_the_step_that_is_scored_is_named(run):
    report, folder = evaluate(run)
    assert read_report(folder / "report.json").steps == report.steps == 4
    assert not report.unfinished
    assert report.cautions == ()
    result = CliRunner().invoke(app, ["evaluate", str(run)], env={"COLUMNS": "200"})
    assert "step 4" in result.output


def test_a_model_of_one_class_is_announced(run, monkeypatch):
    monkeypatch.setattr(
        rsmtdf_core.evaluation.crops,
        "count_confusion",
        only_soil(rsmtdf_core.evaluation.crops.count_confusion),
    )
    report, _ = evaluate(run)
    assert report.only_class == "soil"
    assert "predicts soil everywhere" in report.cautions[0]
    comparison = compare([run], None, "test")
    assert any("a single class everywhere" in sentence for sentence in comparison.warnings)


def test_a_best_model_of_one_class_is_announced_by_its_training(make_config, monkeypatch):
    monkeypatch.setattr(
        pipeline.train.validation,
        "count_confusion",
        only_soil(pipeline.train.validation.count_confusion),
    )
    config = make_config(*SHORT)
    assert train(config).only_class == "soil"
    monkeypatch.undo()
    assert train(config, resume=True).only_class == "soil", "a resumed run knows it too"
    comparison = compare([config.run_folder], None, None)
    assert any("a single class everywhere" in sentence for sentence in comparison.warnings)


def test_a_report_of_another_step_than_the_best_of_the_curves_is_reported(run):
    evaluate(run)
    folder = open_run(run)
    warnings = compare([run], None, "test").warnings
    assert not any("another step" in sentence for sentence in warnings)
    better = Validation(steps=8, epoch=2, miou=1.0)
    folder.note(validations=[asdict(item) for item in (*folder.validations, better)])
    warnings = compare([run], None, "test").warnings
    assert any("another step than the best of the curves" in sentence for sentence in warnings)


@pytest.mark.parametrize("status", ["running", "interrupted"])
def test_a_run_that_has_not_ended_is_scored_with_a_warning(run, status):
    open_run(run).note(status=status)
    lines = []

    class Warned(Silent):
        def warn(self, text):
            lines.append(text)

    report, _ = evaluate(run, reporter=Warned())
    assert report.unfinished
    assert "scores of step 4" in report.cautions[0]
    assert "scoring the model of step 4" in lines[0]
    assert "--resume" in lines[0]
