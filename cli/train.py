"""`rsmtdf train`: stage two."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cli.console import LOADING, RichReporter, out, percent, show, show_command
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
        bool, typer.Option("--resume", help="Continue the run from its newest checkpoint.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Delete the existing run and start over.")
    ] = False,
    init_from: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Start a new run from the weights of a run (its best), of a checkpoint, or of a weights file.",
        ),
    ] = None,
    max_steps: Annotated[
        int | None,
        typer.Option(min=1, help="Train at most this many steps; sets optimiser.max_steps."),
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Trace a few steps into the run's folder profile/.")
    ] = False,
) -> None:
    """Train the student from the cached features; no teacher is loaded.

    The method is objective.method; a method that learns from teachers needs their features. Only validations of
    teacher-head load the teachers: it trains a head on their tokens, without an encoder, as a yardstick.
    With objective.pretrain.steps, a method starts after that many steps of distillation.
    Ctrl-C or SIGTERM finish the current step, save it and exit with status 130 or 143; a second one exits at once.

    If a run exists: [cyan]--resume[/] continues it, to the same result as if it had never stopped; [cyan]--init-from[/]
    starts another run from its weights; [cyan]--overwrite[/] deletes it.

    On several GPUs or machines: [cyan]torchrun --nproc-per-node N -- $(which rsmtdf) train CONFIG[/].
    """
    if resume and (overwrite or init_from):
        raise typer.BadParameter("--resume excludes --overwrite and --init-from")
    from pipeline.reporter import Silent

    leads = os.environ.get("RANK", "0") == "0"
    reporter = RichReporter() if leads else Silent()
    with reporter.status(LOADING):
        from pipeline.train.run import train as run_training
    limit = [] if max_steps is None else [f"optimiser.max_steps={max_steps}"]
    report = run_training(
        read_config(config, [*(overrides or []), *limit], cache),
        run,
        resume=resume,
        overwrite=overwrite,
        init_from=init_from,
        profile=profile,
        exits=True,
        reporter=reporter,
    )
    if not leads:
        # Under torchrun only the first process reports. Exit directly, because the shutdown of the interpreter
        # may abort if a thread of gloo is still running.
        os._exit(0)
    best = "no validation split" if report.trains_head else "the head is not trained"
    warning = ""
    if report.best_miou is not None:
        score = (
            f"val mIoU {percent(report.best_miou)} ({report.weights}, epoch {report.best_epoch})"
        )
        best = f"best {score}"
        if report.only_class is not None:
            best = f"the best model predicts {report.only_class} everywhere: {score}"
            warning = (
                f"no model of this run does better than {report.only_class} everywhere; check the masks, the "
                "class frequencies and optimiser.lr"
            )
    stopped = " (stopped early)" if report.status == "stopped early" else ""
    out.print(
        f"{report.steps} steps{stopped}, {report.parameters / 1e6:.1f} M parameters, {best}",
    )
    if warning:
        RichReporter().warn(warning)
    show("run", report.run)
    if report.trains_head:
        show_command("score it", "rsmtdf", "evaluate", report.run)
    else:
        show_command("train from it", "rsmtdf", "train", "CONFIG", "--init-from", report.run)
