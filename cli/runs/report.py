"""`rsmtdf report`: an HTML page about runs (tests: pipeline/runs/test_report.py)."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import RichReporter, err, show
from cli.options import ScoredSplit


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Folders of runs, or folders that contain runs."),
    ],
    path: Annotated[
        Path, typer.Option("--out", help="The HTML file; an existing file is replaced.")
    ] = Path("report.html"),
    split: Annotated[
        ScoredSplit, typer.Option(help="Show the reports of `rsmtdf evaluate` on this split.")
    ] = ScoredSplit.test,
    scenes: Annotated[
        int, typer.Option(min=0, help="Number of evenly spaced scenes to show; the worst follow.")
    ] = 4,
    root: Annotated[
        Path | None, typer.Option(help="The data root, if it has moved since training.")
    ] = None,
) -> None:
    """Write an HTML page about evaluated runs, in a single file that needs no network.

    The page begins with answers in sentences: how good, on which data, compared with what, what to label next, at what
    cost. Scores, classes, confusion, scenes, curves, calibration, settings and the origin of the scores follow. Scenes
    to label next are read from the folder suggestions of the best run, where `rsmtdf suggest` wrote them.
    """
    from pipeline.runs.report import report as write

    page = write(runs, path, split.value, scenes, root, RichReporter())
    for sentence in page.comparison.warnings:
        err.print(sentence, style="yellow", soft_wrap=True)
    show("report", page.path)
