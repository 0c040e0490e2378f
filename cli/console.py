"""Everything that the user sees goes through one pair of consoles, which print names from outside as they are.

Scenes, classes, files and runs have names that others chose. In rich, `[north]` in a string would be a style and
`:tree:` a picture, and terminal sequences would reach the terminal. So these consoles read no markup, and escape
what cannot be seen. Styles are given beside the text: `out.print(text, style="bold")`, or with the `Text` here.
"""

import json
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rich.text
import typer
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError
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
from rich.style import Style
from rich.table import Table

from rsmtdf_core.words import printable


def _console(*, stderr: bool = False) -> "PlainConsole":
    """A console as wide as its terminal; lines for a file or another program are not cut to a terminal's width."""
    stream = sys.stderr if stderr else sys.stdout
    if stream.isatty() or "COLUMNS" in os.environ:
        return PlainConsole(stderr=stderr)
    return PlainConsole(stderr=stderr, width=200, height=50)


class Text(rich.text.Text):
    """Styled text with escaped terminal sequences, which rich would drop or let through."""

    def __init__(self, text: str = "", *args: Any, **options: Any) -> None:  # noqa: ANN401 - rich's own
        super().__init__(printable(text), *args, **options)

    def append(
        self, text: rich.text.Text | str, style: str | Style | None = None
    ) -> rich.text.Text:
        """Add text, or a string in a style."""
        return super().append(printable(text) if isinstance(text, str) else text, style)


class PlainConsole(Console):
    """A console that prints strings without reading markup in them, with escaped terminal sequences."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - rich's own
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> rich.text.Text:  # noqa: ANN401 - rich's own
        """A string as rich prints it, also in a cell of a table."""
        return super().render_str(printable(text), **options)


out = _console()
err = _console(stderr=True)


def labeled(label: str, value: object, style: str = "bold") -> Text:
    """A value from outside after a label of ours."""
    line = Text()
    line.append(label, style)
    line.append(f" {value}")
    return line


def show(label: str, value: object) -> None:
    """One line that is not broken, so that a path can be copied."""
    out.print(labeled(label, value), soft_wrap=True)


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
            self._progress.update(self._task, note=printable(note))


class RichReporter:
    """Progress bars and messages on standard error, so that standard output holds results alone."""

    @contextmanager
    def bar(self, label: str, total: int, done: int = 0) -> Iterator[_Bar]:
        """A bar with count, speed, time gone and time left."""
        with Progress(
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            _Speed(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("left"),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
            console=err,
            speed_estimate_period=600,
        ) as progress:
            yield _Bar(
                progress, progress.add_task(printable(label), total=total, completed=done, note="")
            )

    def say(self, text: str) -> None:
        """One line."""
        err.print(text, highlight=False)

    def warn(self, text: str) -> None:
        """One line in yellow."""
        err.print(Text("warning: ", style="bold yellow") + Text(text, style="yellow"))


def show_json(report: BaseModel) -> None:
    """A report for another program."""
    try:
        text = report.model_dump_json(indent=2)
    except PydanticSerializationError:  # paths of bytes that are not UTF-8
        text = json.dumps(report.model_dump(mode="json"), indent=2)
    typer.echo(text)


def show_command(label: str, *words: object) -> None:
    """A command that can be copied into a shell, whatever names it has."""
    out.print(f"{label}: {shlex.join(map(str, words))}", soft_wrap=True)


def show_path(path: Path) -> None:
    """A path on a line of its own: with its very bytes for another program, escaped for a terminal."""
    if out.is_terminal:
        out.print(str(path), soft_wrap=True)
    else:
        typer.echo(os.fsencode(path))


def table(title: str, *columns: str) -> Table:
    """A table whose first column is text and whose others are numbers."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for place, column in enumerate(columns):
        made.add_column(column, justify="left" if place == 0 else "right")
    return made


def percent(value: float | None) -> str:
    """A share in 0..1 as per cent; a dash for none."""
    return "-" if value is None else f"{100 * value:.2f}"
