"""`rsmtdf compare`: scores of runs side by side, over their seeds (tests: pipeline/runs/test_compare.py)."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cli.console import err, out, show, table
from cli.options import ScoredSplit
from cli.rows import show_rows

_MOST_GROUPS = 20  # groups whose settings are printed; table.md has all


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Folders of runs, or folders that contain runs."),
    ],
    folder: Annotated[Path, typer.Option("--out", help="Folder for tables and pictures.")] = Path(
        "comparison"
    ),
    split: Annotated[
        ScoredSplit | None,
        typer.Option(
            help="Compare the reports of `rsmtdf evaluate` on this split.",
            show_default="the best validations",
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="Compare scores by this protocol, with --split; `rsmtdf config kinds` lists them.",
            show_default="the first of each report",
        ),
    ] = None,
    classes: Annotated[
        bool, typer.Option("--classes", help="Add a column for each class.")
    ] = False,
) -> None:
    """Compare runs by mean and sample standard deviation over the seeds and folds of each configuration.

    Runs that differ only in seed and fold form a group, named by the fewest settings that distinguish the groups; a
    table lists all settings that differ. Writes table.csv, table.json, table.md, curves.png and scores.png, and lists
    differences that make the comparison unfair.
    """
    from pipeline.runs.compare import cells, columns
    from pipeline.runs.compare import compare as compare_runs

    comparison = compare_runs(
        runs, folder, split.value if split else None, classes=classes, protocol=protocol
    )
    heads = columns(comparison, classes=classes)
    shown = table(f"{comparison.measure} on {comparison.dataset}, percent", *heads)
    for group in comparison.groups:
        shown.add_row(*cells(group, classes=classes))
    show_rows(shown)
    if comparison.has_more_settings and len(comparison.groups) <= _MOST_GROUPS:
        settings = Table(title="settings that differ", title_justify="left", title_style="bold")
        settings.add_column("group", overflow="fold")
        settings.add_column("settings", overflow="fold")
        for group in comparison.groups:
            settings.add_row(group.label, group.settings_text)
        out.print(settings)
    for sentence in comparison.warnings:
        err.print(sentence, style="yellow", soft_wrap=True)
    show("tables and curves", folder)
