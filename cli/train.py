"""`rsmtdf train`: stage two."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cli.console import RichReporter, out, percent
from cli.options import Cache, Config, Overrides, read_config


def train(
    config: Config,
    overrides: Overrides = None,
    cache: Cache = None,
    run: Annotated[
        Path | None,
        typer.Option(
            help="The run's folder.", show_default="<runtime.runs>/<name>-<method>-seed<seed>"
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run from its newest checkpoint.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Delete the run that is there and start anew.")
    ] = False,
) -> None:
    """Train the student from the cached features; no teacher is loaded.

    The method is objective.method: supervised, fixmatch or rs-mtdf. The first two need no features.
    """
    from pipeline.train import train as run_training

    if resume and overwrite:
        raise typer.BadParameter("--resume and --overwrite exclude each other")
    report = run_training(
        read_config(config, overrides, cache),
        run,
        resume=resume,
        overwrite=overwrite,
        reporter=RichReporter(),
    )
    if int(os.environ.get("RANK", "0")) > 0:
        return  # under torchrun the first process speaks for all
    best = (
        f"best val mIoU [bold]{percent(report.best_miou)}[/] ({report.weights}, epoch {report.best_epoch})"
        if report.best_miou is not None
        else "no validation split"
    )
    out.print(
        f"{report.steps} steps, {report.parameters / 1e6:.1f} M parameters, {best}", highlight=False
    )
    out.print(f"[bold]run[/] {report.run}", soft_wrap=True, highlight=False)
    out.print(f"score it: rsmtdf evaluate {report.run}", soft_wrap=True, highlight=False)
