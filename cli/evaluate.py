"""`rsmtdf evaluate`: scores and pictures of a run."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import LOADING, RichReporter, err, out, percent, show, table
from cli.options import Checkpoint, InferenceOverrides, Run
from rsmtdf_core.words import counted

if TYPE_CHECKING:
    from rsmtdf_core.evaluation.report import EvaluationReport
    from rsmtdf_core.evaluation.scores import ProtocolScores

_WORST = 3


class Split(StrEnum):
    """The splits of a manifest."""

    train = "train"
    val = "val"
    test = "test"


class ScoredModel(StrEnum):
    """The two models of a run."""

    ema = "ema"
    student = "student"


def evaluate(
    run: Run,
    split: Annotated[Split, typer.Option(help="The split to score.")] = Split.test,
    weights: Annotated[
        ScoredModel | None,
        typer.Option(
            help="Which model is scored.", show_default="the model validated during training"
        ),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="The data root, if it has moved since training.")
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            help="The protocol of the scores; `rsmtdf config kinds` lists them. May be given several times, for "
            "a table each from a single pass.",
            show_default="rsmtdf",
        ),
    ] = None,
    overrides: InferenceOverrides = None,
    checkpoint: Checkpoint = None,
) -> None:
    """Score a run's best model. Print a table, and write JSON, CSV and pictures to the run's folder.

    Published tables treat ignored pixels and absent classes differently, which changes mIoU by whole points. Choose
    the protocol of the numbers you compare with; the report describes its rule.
    """
    reporter = RichReporter()
    with reporter.status(LOADING):
        from pipeline.evaluate.run import evaluate as score

    report, folder = score(
        run,
        split.value,
        weights.value if weights else None,
        root,
        reporter,
        protocols=protocol or ["rsmtdf"],
        overrides=overrides or [],
        checkpoint=checkpoint,
    )
    show_report(report)
    show("report and pictures", folder)


def show_report(report: "EvaluationReport") -> None:
    """Print the scores with their notes and warnings."""
    from rsmtdf_core.evaluation.scores import worst_scenes

    step = "" if report.steps is None else f", step {report.steps}"
    # Not as a table's title, which would be wrapped at the table's width.
    out.print(f"{report.run} on {report.dataset} {report.split}", style="bold")
    out.print(f"{counted(report.images, 'scene')}, {report.weights} model{step}")
    for scores in report.by_protocol.values():
        _show_scores(scores)
    if report.interval is not None:
        low, high = map(percent, report.interval)
        out.print(f"95 % interval of the mIoU over scenes: {low} to {high}")
    if worst := worst_scenes(report.scenes, _WORST):
        wrong = ", ".join(f"{scene.scene} ({percent(scene.error)} % wrong)" for scene in worst)
        out.print(f"worst scenes: {wrong}")
    for entry in report.reliability:
        model = (
            "as trained" if entry.temperature == 1 else f"at temperature {entry.temperature:.3g}"
        )
        out.print(f"calibration error {percent(entry.ece)} % {model}")
    for sentence in report.notes:
        out.print(sentence, style="dim")
    for sentence in report.cautions:
        err.print(sentence, style="bold yellow")


def _show_scores(protocol: "ProtocolScores") -> None:
    scores = protocol.scores
    shown = table("", "class", "IoU", "F1", "precision", "recall", "pixels")
    for row in scores.classes:
        name = row.name if row.scored else f"{row.name} (not scored)"
        numbers = (percent(row.iou), percent(row.f1), percent(row.precision), percent(row.recall))
        shown.add_row(name, *numbers, f"{row.support:,}")
    shown.add_section()
    shown.add_row("mean", percent(scores.miou), percent(scores.mf1), "", "", "", style="bold")
    out.print(shown)
    out.print(
        f"OA {percent(scores.overall_accuracy)}  kappa {percent(scores.kappa)}  "
        f"protocol {protocol.protocol}",
    )
    if protocol.crops:
        out.print(f"scored: {protocol.crops}")
    out.print(protocol.protocol_description, style="dim")
    if scores.unscored:
        out.print(f"excluded from the means: {', '.join(scores.unscored)}")
    if scores.absent:
        out.print(f"absent in truth and prediction: {', '.join(scores.absent)}")
