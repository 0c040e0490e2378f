"""Reports on disk."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from rsmtdf_core.errors import RunError
from rsmtdf_core.evaluation.counts import PixelCounts
from rsmtdf_core.evaluation.protocols.find import find_protocols
from rsmtdf_core.evaluation.report import (
    EvaluationReport,
    read_report,
    write_csv,
    write_report,
    write_scenes_csv,
)
from rsmtdf_core.evaluation.scores import SceneScores, worst_scenes
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.fingerprints import fingerprint

from .protocols.conftest import manifest_of

MATRIX = np.array([[80, 20, 0], [10, 90, 0], [0, 0, 0]])
IGNORED = np.array([7, 0, 0])


@pytest.fixture
def report() -> EvaluationReport:
    rules = find_protocols(["rsmtdf", "official"])
    first, second = (rule(PixelCounts(MATRIX, IGNORED), manifest_of(3)) for rule in rules)
    return EvaluationReport(
        **dict(first),
        others=(second,),
        run="demo",
        dataset="synthetic",
        split="test",
        weights="ema",
        parent="ab" * 32,
        inference=InferenceSettings(),
        images=3,
        confusion=tuple(map(tuple, MATRIX.tolist())),
        ignored=tuple(IGNORED.tolist()),
        random_teachers=("clip",),
        notes=("split by area",),
    )


def test_a_report_comes_back_as_it_was_written(report: EvaluationReport, tmp_path: Path) -> None:
    write_report(tmp_path / "report.json", report)
    again = read_report(tmp_path / "report.json")
    assert again == report
    assert again.fingerprint() == report.fingerprint()
    np.testing.assert_array_equal(again.matrix, MATRIX)


def test_the_file_names_the_protocol_in_words(report: EvaluationReport, tmp_path: Path) -> None:
    write_report(tmp_path / "report.json", report)
    fields = json.loads((tmp_path / "report.json").read_text())
    assert fields["protocol"] == "rsmtdf"
    assert "ignored" in fields["protocol_description"]
    (other,) = fields["others"]
    assert other["protocol"] == "official"
    assert "faults included" in other["protocol_description"]


def test_scores_are_found_by_the_name_of_their_protocol(report: EvaluationReport) -> None:
    assert list(report.by_protocol) == ["rsmtdf", "official"]
    assert report.by_protocol["rsmtdf"].scores == report.scores
    assert report.by_protocol["rsmtdf"].crops == report.crops
    assert report.by_protocol["official"].scores.classes[0].precision == pytest.approx(80 / 97)


def test_a_report_from_before_there_were_several_protocols_is_read(
    report: EvaluationReport, tmp_path: Path
) -> None:
    path = tmp_path / "report.json"
    fields = report.model_dump(mode="json", exclude={"others", "ignored"})
    for key in ("scales", "flips"):
        del fields["inference"][key]
    path.write_text(json.dumps(fields | {"fingerprint": fingerprint(fields)}) + "\n")
    read = read_report(path)
    assert (read.scores, read.others, read.ignored) == (report.scores, (), ())


def test_the_fingerprint_changes_with_parent_and_scores(report: EvaluationReport) -> None:
    others = [
        report.model_copy(update={"parent": "cd" * 32}),
        report.model_copy(update={"images": 4}),
    ]
    assert len({item.fingerprint() for item in [report, *others]}) == 3


def test_a_report_that_was_edited_is_refused(report: EvaluationReport, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_report(path, report)
    path.write_text(path.read_text().replace('"images": 3', '"images": 30'))
    with pytest.raises(RunError, match="changed after it was written"):
        read_report(path)


def test_a_file_that_is_no_report_is_refused_with_the_key(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("{}\n")
    with pytest.raises(RunError, match="not an evaluation report: protocol"):
        read_report(path)


def test_the_table_has_a_row_for_each_class_and_one_for_the_means(
    report: EvaluationReport, tmp_path: Path
) -> None:
    write_csv(tmp_path / "scores.csv", report)
    with (tmp_path / "scores.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["protocol"] for row in table] == 4 * ["rsmtdf"] + 4 * ["official"]
    rows, official = table[:4], table[4:]
    assert float(official[2]["iou"]) == 0
    assert float(official[3]["iou"]) == pytest.approx((80 / 110 + 90 / 120) / 3, abs=1e-6)
    assert [row["class"] for row in rows] == ["water", "road", "forest", "(all scored)"]
    assert {row["run"] for row in rows} == {"demo"}
    assert float(rows[0]["iou"]) == pytest.approx(80 / 110, abs=1e-6)
    assert rows[2]["iou"] == ""
    assert float(rows[3]["iou"]) == pytest.approx(report.scores.miou, abs=1e-6)
    assert float(rows[3]["overall_accuracy"]) == pytest.approx(0.85)
    assert rows[3]["support"] == "200"


def test_scenes_have_a_table_of_their_own(report: EvaluationReport, tmp_path: Path) -> None:
    (rule,) = find_protocols(["rsmtdf"])
    counts = PixelCounts(MATRIX, IGNORED)
    unlabeled = PixelCounts(np.zeros_like(MATRIX), IGNORED)
    scenes = tuple(
        rule.scene(name, each, manifest_of(3))
        for name, each in (("a/1", counts), ("b\r\n", unlabeled))
    )
    assert scenes[0].error == pytest.approx(30 / 200)
    assert (scenes[1].pixels, scenes[1].miou, scenes[1].error) == (0, None, 0)
    assert [scene.scene for scene in worst_scenes(scenes, 5)] == ["a/1"]
    scored = report.model_copy(update={"scenes": scenes})
    write_scenes_csv(tmp_path / "scenes.csv", scored)
    write_report(tmp_path / "report.json", scored)
    assert read_report(tmp_path / "report.json").scenes == scenes
    with (tmp_path / "scenes.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["scene"], first["wrong"], first["pixels"]) == ("a/1", "30", "200")
    assert float(first["iou water"]) == pytest.approx(80 / 110, abs=1e-6)
    assert float(first["miou"]) == pytest.approx(report.scores.miou, abs=1e-6)
    assert (second["scene"], second["miou"]) == ("b\\r\\n", "")


def test_the_worst_scenes_have_the_largest_shares_of_wrong_pixels() -> None:
    scenes = [
        SceneScores(
            scene=name, pixels=pixels, wrong=wrong, miou=None, overall_accuracy=None, iou=()
        )
        for name, pixels, wrong in (("a", 100, 9), ("b", 10, 5), ("c", 50, 0), ("d", 20, 10))
    ]
    assert [scene.scene for scene in worst_scenes(scenes, 3)] == ["b", "d", "a"]
    assert [scene.scene for scene in worst_scenes(scenes, 1)] == ["b"]


def test_a_table_has_a_row_for_each_class_whatever_its_name_is(
    report: EvaluationReport, tmp_path: Path
) -> None:
    classes = report.scores.classes
    odd = tuple(
        row.model_copy(update={"name": name})
        for row, name in zip(classes, ("a,b", 'c"\r\nd', "\x1b[31m"), strict=True)
    )
    scores = report.scores.model_copy(update={"classes": odd})
    write_csv(tmp_path / "scores.csv", report.model_copy(update={"scores": scores, "others": ()}))
    with (tmp_path / "scores.csv").open(newline="") as file:
        names = [row["class"] for row in csv.DictReader(file)]
    assert names == ["a,b", 'c"\\r\\nd', "\\x1b[31m", "(all scored)"]
