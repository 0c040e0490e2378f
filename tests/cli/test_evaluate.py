"""The options of `rsmtdf evaluate` reach the stage, and its tables show the report."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import pipeline.evaluate.run
from cli.main import app
from rsmtdf_core.evaluation.counts import PixelCounts
from rsmtdf_core.evaluation.protocols.find import find_protocols
from rsmtdf_core.evaluation.report import EvaluationReport
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.scenes.manifest import load_manifest

MANIFEST = load_manifest("loveda")
# Predictions of the first two classes only; the others are absent from truth and prediction.
MATRIX = np.zeros((len(MANIFEST.classes),) * 2, np.int64)
MATRIX[:2, :2] = [[80, 20], [10, 90]]


def report(**facts):
    ignored = np.zeros(len(MANIFEST.classes), np.int64)
    rules = find_protocols(["rsmtdf", "dwl"])
    first, second = (
        rule(PixelCounts(MATRIX, ignored), MANIFEST).model_copy(
            update={"crops": f"3 windows for {rule.name}"}
        )
        for rule in rules
    )
    return EvaluationReport(
        **dict(first),
        others=(second,),
        run="loveda-1",
        dataset=MANIFEST.name,
        split="test",
        weights="ema",
        parent="ab" * 32,
        inference=InferenceSettings(),
        images=3,
        confusion=tuple(map(tuple, MATRIX.tolist())),
        **facts,
    )


@pytest.fixture
def calls(monkeypatch):
    """The arguments of each call of the stage, which returns a report."""
    calls = []

    def record(run, split, weights, root, reporter, *, protocols, overrides, checkpoint):
        del reporter
        calls.append(
            {
                "run": run,
                "split": split,
                "weights": weights,
                "root": root,
                "protocols": protocols,
                "overrides": overrides,
                "checkpoint": checkpoint,
            }
        )
        return report(), Path("runs/loveda-1/evaluation/test-ema")

    monkeypatch.setattr(pipeline.evaluate.run, "evaluate", record)
    return calls


def call(*arguments: str):
    return CliRunner().invoke(app, ["evaluate", "runs/loveda-1", *arguments])


def words(output):
    """The output in one line, without the lines between cells."""
    return " ".join(output.replace("│", " ").split())


DEFAULTS = {
    "run": Path("runs/loveda-1"),
    "split": "test",
    "weights": None,
    "root": None,
    "protocols": ["rsmtdf"],
    "overrides": [],
    "checkpoint": None,
}


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ([], {}),
        (["--split", "val"], {"split": "val"}),
        (["--weights", "student"], {"weights": "student"}),
        (["--root", "elsewhere"], {"root": Path("elsewhere")}),
        (["--protocol", "dwl"], {"protocols": ["dwl"]}),
        (["--protocol", "dwl", "--protocol", "official"], {"protocols": ["dwl", "official"]}),
        (
            ["--set", "evaluation.inference.batch=2"],
            {"overrides": ["evaluation.inference.batch=2"]},
        ),
        (["--checkpoint", "runs/x/step-1"], {"checkpoint": "runs/x/step-1"}),
    ],
)
def test_each_option_reaches_the_stage(calls, options, changed):
    done = call(*options)
    assert done.exit_code == 0, done.output
    assert calls == [DEFAULTS | changed]


@pytest.mark.parametrize("options", [["--split", "tset"], ["--weights", "teacher"], ["--protocl"]])
def test_unknown_values_are_errors_of_usage(calls, options):
    done = call(*options)
    assert done.exit_code == 2
    assert options[-1] in done.output
    assert not calls


def test_each_protocol_has_a_table_with_its_rule(calls):
    done = CliRunner().invoke(app, ["evaluate", "runs/loveda-1"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    text = words(done.output)
    assert text.count("loveda-1 on loveda test 3 scenes, ema model") == 1
    first, second = report().by_protocol.values()
    for scores in (first, second):
        assert f"protocol {scores.protocol}" in text
        assert " ".join(scores.protocol_description.split()) in text
        assert f"scored: 3 windows for {scores.protocol}" in text
    assert "72.73" in text, "the IoU of the first class, 80 / 110"
    assert f"mean {100 * first.scores.miou:.2f}" in text
    assert f"absent in truth and prediction: {', '.join(first.scores.absent)}" in text
    assert "runs/loveda-1/evaluation/test-ema" in text
    assert calls


def test_warnings_go_to_standard_error(monkeypatch):
    facts = {
        "random_teachers": ("clip [x]",),
        "steps": 7,
        "unfinished": True,
        "interval": (0.4, 0.6),
    }
    answer = (report(**facts, notes=("split by area",)), Path("out"))
    monkeypatch.setattr(pipeline.evaluate.run, "evaluate", lambda *_args, **_words: answer)
    done = CliRunner().invoke(app, ["evaluate", "run"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert "RANDOM WEIGHTS in teachers clip [x]" in done.stderr
    assert "the run is unfinished: these are the scores of step 7" in done.stderr
    assert "split by area" in done.stdout
    assert "3 scenes, ema model, step 7" in done.stdout
    assert "95 % interval of the mIoU over scenes: 40.00 to 60.00" in done.stdout
    assert "RANDOM" not in done.stdout
