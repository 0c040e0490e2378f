"""`rsmtdf runs`: a table of runs with their data, features, progress and scores."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cli.console import Text, err, percent, show_json
from cli.rows import show_rows

if TYPE_CHECKING:
    from pipeline.runs import RunList, RunSummary

_STYLES = {"finished": "green", "stopped early": "green", "running": "cyan"}


class Sort(StrEnum):
    """Orders of the list."""

    best = "best"
    name = "name"
    date = "date"


def runs(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]",
            help="A run, or a folder that contains runs.",
            show_default="runs, the default folder of train",
        ),
    ] = None,
    sort: Annotated[
        Sort, typer.Option(help="Order: best mIoU first, by name, or newest first.")
    ] = Sort.name,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """List runs with method, data, features used, best validation mIoU and state.

    The steps of a "running" or "killed" run are those logged so far. Continue a killed or interrupted run with
    [cyan]rsmtdf train CONFIG --run RUN --resume[/].
    """
    from pipeline.runs import list_runs

    listing = list_runs(folder, sort.value)
    if json:
        show_json(listing)
        return
    if listing.runs:
        show_rows(_table(listing))
    for problem in listing.problems:
        err.print(Text(f"{problem.run}: {problem.problem}", style="yellow"))
    if any(run.random_teachers for run in listing.runs):
        err.print("RANDOM WEIGHTS: such scores do not reflect the method", style="bold yellow")


def _table(listing: "RunList") -> Table:
    shown = Table(
        title=str(listing.folder), title_justify="left", title_style="bold", header_style="bold"
    )
    shown.add_column("run", overflow="fold")
    for column in ("method", "dataset"):
        shown.add_column(column)
    for column in ("labeled", "seed", "steps"):
        shown.add_column(column, justify="right")
    shown.add_column("features", overflow="fold")
    shown.add_column("best mIoU", justify="right")
    for column in ("status", "written"):
        shown.add_column(column)
    for run in listing.runs:
        shown.add_row(
            Text(run.run),
            run.method,
            run.dataset,
            _labeled(run),
            str(run.seed),
            f"{run.steps:,} / {'?' if run.total is None else f'{run.total:,}'}",
            _features(run),
            percent(run.best_miou),
            Text(run.status, style=_STYLES.get(run.status, "yellow")),
            run.written[:16].replace("T", " "),
        )
    return shown


def _labeled(run: "RunSummary") -> str:
    """Format the labeled share as a fraction if possible, with its seed unless that is 0; or the labeled images."""
    if run.labeled is None:
        return "unknown"
    share = run.labeled
    if isinstance(share, float):
        parts = 1 / share
        share = f"1/{round(parts)}" if abs(parts - round(parts)) < 1e-6 else f"{share:.3g}"
    return share if run.labeled_seed == 0 else f"{share} #{run.labeled_seed}"


def _features(run: "RunSummary") -> Text:
    features = run.features
    if features.source == "none":
        text = Text("none", style="dim")
    elif features.source == "online":
        text = Text(f"online: {', '.join(features.teachers)}")
    else:
        # A store's name starts with the teacher's name and ends with the codec's name.
        stores = [key.rpartition("/")[2] for key in features.stores]
        names = [
            f"{name} {codec}"
            for name, codec in zip(features.teachers, features.codecs, strict=True)
        ]
        text = Text(f"K {features.views}: {', '.join(stores or names)}")
    if features.pixels:
        text.append(" + pixels")
    if run.random_teachers:
        text.append(f" RANDOM WEIGHTS ({', '.join(run.random_teachers)})", style="bold yellow")
    return text
