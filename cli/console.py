"""What the user sees: progress bars, tables and errors, all on one pair of consoles."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

# What goes into a file or another program is not cut to a terminal's width.
_CUT = sys.stdout.isatty() or "COLUMNS" in os.environ

out = Console() if _CUT else Console(width=200, height=50)
err = Console(stderr=True)


class _Speed(ProgressColumn):
    """Parts per second since this process began, without those that were done before."""

    def render(self, task: Task) -> Text:
        """The speed, once it is known."""
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="cyan")


class _Bar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def advance(self, count: int = 1, note: str = "") -> None:
        """Move on; an empty note leaves the last one standing."""
        self._progress.advance(self._task, count)
        if note:
            self._progress.update(self._task, note=note)


class RichReporter:
    """Progress bars and messages on standard error, so that standard output holds results alone."""

    @contextmanager
    def bar(self, label: str, total: int, done: int = 0) -> Iterator[_Bar]:
        """A bar with count, speed, time gone and time left."""
        with Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            _Speed(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=err,
            speed_estimate_period=600,
        ) as progress:
            yield _Bar(progress, progress.add_task(label, total=total, completed=done, note=""))

    def say(self, text: str) -> None:
        """One line."""
        err.print(text, highlight=False)

    def warn(self, text: str) -> None:
        """One line in yellow."""
        err.print(Text("warning: ", style="bold yellow") + Text(text, style="yellow"))


def table(title: str, *columns: str) -> Table:
    """A table whose first column is text and whose others are numbers."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for place, column in enumerate(columns):
        made.add_column(column, justify="left" if place == 0 else "right")
    return made


def percent(value: float | None) -> str:
    """A share in 0..1 as per cent; a dash for none."""
    return "-" if value is None else f"{100 * value:.2f}"
