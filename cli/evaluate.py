"""`rsmtdf evaluate`: scores and pictures of a run."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import RichReporter, err, out, percent, show, table
from cli.options import Checkpoint, InferenceOverrides, Run

if TYPE_CHECKING:
    from rsmtdf_core.evaluation.report import EvaluationReport
    from rsmtdf_core.evaluation.scores import ProtocolScores


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
    split: Annotated[Split, typer.Option(help="Which scenes are scored.")] = Split.test,
    weights: Annotated[
        ScoredModel | None,
        typer.Option(help="Which model is scored.", show_default="the one the run was selected by"),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="The data root, if it has moved since training.")
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            help="The rule for the scores; `rsmtdf config kinds` lists them. May be given several times: one pass, a "
            "table for each.",
            show_default="rsmtdf",
        ),
    ] = None,
    overrides: InferenceOverrides = None,
    checkpoint: Checkpoint = None,
) -> None:
    """Score a run's best model: a table here, JSON, CSV and pictures in the run's folder.

    Public tables disagree on ignored pixels and absent classes by whole points of mIoU. Name the protocol whose
    numbers you compare with; the report carries its rule in words.
    """
    from pipeline.evaluate.run import evaluate as score

    report, folder = score(
        run,
        split.value,
        weights.value if weights else None,
        root,
        RichReporter(),
        protocols=protocol or ["rsmtdf"],
        overrides=overrides or [],
        checkpoint=checkpoint,
    )
    show_report(report)
    show("report and pictures", folder)


def show_report(report: "EvaluationReport") -> None:
    """Print the scores with everything one must know to read them."""
    step = "" if report.steps is None else f", step {report.steps}"
    title = f"{report.run} on {report.dataset} {report.split} ({report.images} scenes, {report.weights}{step})"
    for one in report.by_protocol.values():
        _show_scores(title, one)
    for sentence in report.notes:
        out.print(sentence, style="dim")
    for sentence in report.cautions:
        err.print(sentence, style="bold yellow")


def _show_scores(title: str, under: "ProtocolScores") -> None:
    scores = under.scores
    shown = table(title, "class", "IoU", "F1", "precision", "recall", "pixels")
    for one in scores.classes:
        name = one.name if one.scored else f"{one.name} (not scored)"
        numbers = (percent(one.iou), percent(one.f1), percent(one.precision), percent(one.recall))
        shown.add_row(name, *numbers, f"{one.support:,}")
    shown.add_section()
    shown.add_row("mean", percent(scores.miou), percent(scores.mf1), "", "", "", style="bold")
    out.print(shown)
    out.print(
        f"OA {percent(scores.overall_accuracy)}  kappa {percent(scores.kappa)}  "
        f"protocol {under.protocol}",
    )
    out.print(under.protocol_description, style="dim")
    if scores.unscored:
        out.print(f"left out of the means: {', '.join(scores.unscored)}")
    if scores.absent:
        out.print(f"absent in truth and prediction: {', '.join(scores.absent)}")
