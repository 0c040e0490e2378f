"""`rsmtdf runs`: what was trained, from which features, how far and how well."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cli.console import Text, err, out, percent, show_json

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
            help="A run, or a folder that holds runs.",
            show_default="runs, where train keeps them",
        ),
    ] = None,
    sort: Annotated[
        Sort, typer.Option(help="The best mIoU first, by name, or the newest first.")
    ] = Sort.name,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """List runs with method, data, features used, best validation mIoU and state.

    A killed run stays "running"; it goes on with [cyan]rsmtdf train CONFIG --run RUN --resume[/].
    """
    from pipeline.runs import list_runs

    found = list_runs(folder, sort.value)
    if json:
        show_json(found)
        return
    if found.runs:
        out.print(_table(found))
    for one in found.problems:
        err.print(Text(f"{one.run}: {one.problem}", style="yellow"))
    if any(one.random_teachers for one in found.runs):
        err.print("RANDOM WEIGHTS: such scores say nothing about the method", style="bold yellow")


def _table(found: "RunList") -> Table:
    shown = Table(
        title=str(found.folder), title_justify="left", title_style="bold", header_style="bold"
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
    for one in found.runs:
        shown.add_row(
            Text(one.run),
            one.method,
            one.dataset,
            _labeled(one),
            str(one.seed),
            f"{one.steps:,} / {'?' if one.total is None else f'{one.total:,}'}",
            _features(one),
            percent(one.best_miou),
            Text(one.status, style=_STYLES.get(one.status, "yellow")),
            one.written[:16].replace("T", " "),
        )
    return shown


def _labeled(one: "RunSummary") -> str:
    """The share as people write it, and its seed where that is not the usual one."""
    parts = 1 / one.labeled
    share = f"1/{round(parts)}" if abs(parts - round(parts)) < 1e-6 else f"{one.labeled:.3g}"
    return share if one.labeled_seed == 0 else f"{share} #{one.labeled_seed}"


def _features(one: "RunSummary") -> Text:
    features = one.features
    if features.source == "none":
        text = Text("none", style="dim")
    elif features.source == "online":
        text = Text(f"online: {', '.join(features.teachers)}")
    else:
        # A store's name starts with its teacher's and ends with its codec's.
        stores = [key.rpartition("/")[2] for key in features.stores]
        named = [
            f"{name} {codec}"
            for name, codec in zip(features.teachers, features.codecs, strict=True)
        ]
        text = Text(f"K {features.views}: {', '.join(stores or named)}")
    if features.pixels:
        text.append(" + pixels")
    if one.random_teachers:
        text.append(f" RANDOM WEIGHTS ({', '.join(one.random_teachers)})", style="bold yellow")
    return text
