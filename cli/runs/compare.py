"""`rsmtdf compare`: runs side by side, over their seeds."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import err, out, show, table
from cli.options import ScoredSplit


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Runs' folders, or folders that hold runs."),
    ],
    folder: Annotated[
        Path, typer.Option("--out", help="Where tables and pictures are written.")
    ] = Path("comparison"),
    split: Annotated[
        ScoredSplit | None,
        typer.Option(
            help="Compare what `rsmtdf evaluate --split` wrote.",
            show_default="the best validations",
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="Compare scores by this protocol, with --split: rsmtdf, official or dwl.",
            show_default="the first of each report",
        ),
    ] = None,
    classes: Annotated[bool, typer.Option("--classes", help="A column for each class.")] = False,
) -> None:
    """Compare runs: mean and sample standard deviation over the seeds of each configuration.

    Runs that differ in the seed alone form a group, which is named by its differences from the other groups. Writes
    table.csv, table.json, table.md, curves.png and scores.png, and lists the differences that make the comparison
    unfair.
    """
    from pipeline.runs.compare import cells, columns
    from pipeline.runs.compare import compare as compare_runs

    found = compare_runs(
        runs, folder, split.value if split else None, classes=classes, protocol=protocol
    )
    heads = columns(found, classes=classes)
    shown = table(f"{found.measure} on {found.dataset}, per cent", *heads)
    for group in found.groups:
        shown.add_row(*cells(group, classes=classes))
    out.print(shown)
    for sentence in found.warnings:
        err.print(sentence, style="yellow", soft_wrap=True)
    show("tables and curves", folder)
