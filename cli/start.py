"""`rsmtdf start`: from a folder of images to a trained model."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cli.console import LOADING, RichReporter, Text, out, show, show_command
from rsmtdf_core.words import counted, printable

if TYPE_CHECKING:
    from pipeline.start import Proposal, StartReport

HOURS = 1.0


def start(
    root: Annotated[Path, typer.Argument(metavar="DIR", help="The folder with images and masks.")],
    path: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The config to write, with the manifest next to it.",
            show_default="config.yaml in DIR",
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,C",
            help="Class names, as for `rsmtdf data init`, if DIR has no manifest.yaml yet.",
        ),
    ] = None,
    hours: Annotated[
        float | None,
        typer.Option(
            metavar="HOURS", help="Time for extraction and training.", show_default=f"{HOURS:g}"
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A folder with weights files of DINOv2 or EfficientNet-Lite0, known by their names; the hub is asked "
            "for the others.",
        ),
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder of the feature stores.")] = None,
    run: Annotated[
        bool, typer.Option("--run", help="Also extract, train and evaluate with the config.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not prompt.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the config and the run if they exist.")
    ] = False,
) -> None:
    """Propose a config for a folder of images that fits this machine and the time, and train with it on request.

    Looks at the folder (and writes its manifest as `data init` does, if there is none), at memory, GPU and cores, and
    at the weights that can be had; times a few steps; then chooses student, method, teacher, crop, views, batch and
    epochs. Shows each choice with its reason, and writes them as a config with comments.
    """
    from cli.data.init import init

    reporter = RichReporter()
    prompts = not yes and _at_terminal()
    path = path or root / "config.yaml"
    with reporter.status(LOADING):
        from pipeline.start import manifest_of, propose, require_free_config, run_all, write_config
    if root.is_dir():
        require_free_config(path, overwrite=overwrite)
    manifest = manifest_of(root, path)
    if not manifest.exists():
        init(root, path=manifest, classes=classes, yes=yes)
    if hours is None:
        hours = (
            typer.prompt("Hours for extraction and training", default=HOURS) if prompts else HOURS
        )
    proposal, text = propose(
        manifest, root, hours=hours, weights=weights, cache=cache, reporter=reporter
    )
    out.print(_table(proposal))
    out.print(_times(proposal))
    for sentence in proposal.cautions:
        reporter.warn(sentence)
    if prompts:
        typer.confirm(printable(f"Write {path}?"), default=True, abort=True)
    write_config(text, path, overwrite=overwrite)
    show("wrote", path)
    if not run and prompts:
        run = typer.confirm("Run it now?", default=False)
    if run:
        _show_run(run_all(path, proposal, overwrite=overwrite, exits=True, reporter=reporter))
    else:
        _show_next(path, proposal)


def _show_next(path: Path, proposal: "Proposal") -> None:
    if proposal.value("teachers"):
        show_command("extract", "rsmtdf", "extract-features", path)
    show_command("train", "rsmtdf", "train", path)


def _show_run(report: "StartReport") -> None:
    assert report.run is not None
    if report.scores is not None:
        from cli.evaluate import show_report

        show_report(report.scores)
    show("run", report.run)
    show_command("predict images", "rsmtdf", "predict", report.run, "IMAGES")
    if report.scores is not None:
        show_command("share the results", "rsmtdf", "report", report.run)


def _table(proposal: "Proposal") -> Table:
    """Tabulate the choices with their reasons; values that follow from the one above have none."""
    from pipeline.start.text import value_text

    rows = Table(title="proposal", title_justify="left", title_style="bold", header_style="bold")
    rows.add_column("key", no_wrap=True)
    for column in ("value", "why"):
        rows.add_column(column, overflow="fold")
    for choice in proposal.choices:
        value = choice.value
        if choice.key == "teachers":
            value = ", ".join(teacher["model"] for teacher in value) or "none"
        rows.add_row(choice.key, Text(value_text(value)), Text(choice.reason))
    return rows


def _times(proposal: "Proposal") -> str:
    extraction = (
        f"extraction {_span(proposal.extraction_seconds)}, " if proposal.extraction_seconds else ""
    )
    training = f"training {_span(proposal.training_seconds)}"
    return f"about: {extraction}{training} for {counted(proposal.steps, 'step')} with validations"


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _at_terminal() -> bool:
    return sys.stdin.isatty()
