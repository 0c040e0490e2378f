"""`rsmtdf report`: one page on runs."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import RichReporter, err, show
from cli.options import ScoredSplit


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Runs' folders, or folders that hold runs."),
    ],
    path: Annotated[Path, typer.Option("--out", help="The HTML file; it is replaced.")] = Path(
        "report.html"
    ),
    split: Annotated[
        ScoredSplit, typer.Option(help="Show what `rsmtdf evaluate --split` wrote.")
    ] = ScoredSplit.test,
    scenes: Annotated[
        int, typer.Option(min=0, help="How many scenes to show; their predictions are computed.")
    ] = 4,
    root: Annotated[
        Path | None, typer.Option(help="The data root, if it has moved since training.")
    ] = None,
) -> None:
    """Write one HTML page on runs that were evaluated, to look at or to send: it needs no network.

    It has the table over seeds with what makes it unfair, bars for each class, confusion matrices, curves, scenes to
    swipe over, what stage one cost, and the chain from scenes to scores with its fingerprints.
    """
    from pipeline.runs.report import report as write

    made = write(runs, path, split.value, scenes, root, RichReporter())
    for sentence in made.comparison.warnings:
        err.print(sentence, style="yellow", soft_wrap=True)
    show("report", made.path)
