"""`rsmtdf import-official`: a run from a checkpoint of the official code."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import RichReporter, out, show, show_command
from cli.evaluate import ScoredModel


def import_official(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CKPT", help="best.pth or latest.pth of the official code.")
    ],
    dataset: Annotated[
        str,
        typer.Option(
            help="The dataset with its classes: a packaged dataset's name, or a manifest's YAML file."
        ),
    ],
    root: Annotated[
        Path | None, typer.Option(help="The dataset's folder.", show_default="data/<dataset>")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="The run's folder.", show_default="runs/<dataset>-<size>-official"),
    ] = None,
    model: Annotated[
        ScoredModel,
        typer.Option(help="The model scored by default; the official code tests the student."),
    ] = ScoredModel.student,
    splits: Annotated[
        str | None,
        typer.Option(
            metavar="MANIFEST",
            help="The manifest that lists the scenes that the model was trained on, as written by `rsmtdf data "
            "prepare --splits`. Reports repeat it.",
            show_default="unknown",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Delete the existing run.")
    ] = False,
) -> None:
    """Import an official RS-MTDF checkpoint as a run, to evaluate, predict, export, or train from with --init-from.

    The size (small, base or large) follows from the tensors' shapes. The teachers in the file are skipped.
    """
    from pipeline.exchange.import_official import import_official as run_import

    report = run_import(
        checkpoint,
        dataset,
        root=root,
        run=run,
        weights=model.value,
        splits=splits,
        overwrite=overwrite,
        reporter=RichReporter(),
    )
    out.print(
        f"{report.size} student, {report.parameters / 1e6:.1f} M parameters, scored by its {report.weights} model; "
        f"{report.left_out} tensors of teachers and unused parts skipped",
    )
    if report.official_score is not None:
        out.print(f"recorded in the checkpoint: mIoU {report.official_score:.2f}")
    show("run", report.run)
    show_command("score it", "rsmtdf", "evaluate", report.run)
