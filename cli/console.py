"""The consoles for all output, which print names from outside literally.

Names of scenes, classes, files and runs come from users. In rich, `[north]` in a string would be a style and `:tree:`
an emoji, and control sequences would reach the terminal. These consoles therefore ignore markup and escape invisible
characters. Pass styles separately: `out.print(text, style="bold")`, or use the `Text` of this module.
"""

import json
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich.text
import typer
from rich.cells import cell_len
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

from cli.lines import LineBar
from rsmtdf_core.words import printable

if TYPE_CHECKING:
    from pydantic import BaseModel


def _console(*, stderr: bool = False) -> "PlainConsole":
    """Create a console as wide as the terminal, or 200 columns wide for a file or another program."""
    stream = sys.stderr if stderr else sys.stdout
    if stream.isatty() or "COLUMNS" in os.environ:
        return PlainConsole(stderr=stderr)
    return PlainConsole(stderr=stderr, width=200, height=50)


def visible(text: str) -> str:
    """Return printable text, with lines that take no space in a terminal escaped too.

    A lone combining character, or a lone skin tone of an emoji, is printable, but rich would leave it out of a table.
    """
    lines = printable(text).split("\n")
    return "\n".join(line if cell_len(line) or not line else ascii(line)[1:-1] for line in lines)


class Text(rich.text.Text):
    """Styled text with escaped control sequences, which rich would drop or print."""

    def __init__(self, text: str = "", *args: Any, **options: Any) -> None:  # noqa: ANN401 - rich's own
        super().__init__(visible(text), *args, **options)

    def append(
        self, text: rich.text.Text | str, style: str | Style | None = None
    ) -> rich.text.Text:
        """Append text, or a string in a style."""
        return super().append(visible(text) if isinstance(text, str) else text, style)


class PlainConsole(Console):
    """A console that prints strings without markup and with escaped control sequences."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - rich's own
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> rich.text.Text:  # noqa: ANN401 - rich's own
        """Render a string, also in the cell of a table."""
        return super().render_str(visible(text), **options)


LOADING = "loading PyTorch and other libraries"
"""The status while a verb imports the large libraries."""

out = _console()
err = _console(stderr=True)


def labeled(label: str, value: object, style: str = "bold") -> Text:
    """Return a value from outside after a styled label."""
    line = Text()
    line.append(label, style)
    line.append(f" {value}")
    return line


def show(label: str, value: object) -> None:
    """Print a label and a value on an unbroken line, so that a path can be copied."""
    out.print(labeled(label, value), soft_wrap=True)


class _Speed(ProgressColumn):
    """Steps per second in this process, excluding steps completed earlier."""

    def render(self, task: Task) -> Text:
        """Render the speed once it is known."""
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="cyan")


class _Bar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def advance(self, count: int = 1, note: str = "") -> None:
        """Advance the bar; an empty note keeps the previous note."""
        self._progress.advance(self._task, count)
        if note:
            self._progress.update(self._task, note=printable(note))


class RichReporter:
    """Shows progress and messages on standard error, so that standard output contains only results.

    Progress is a bar on a terminal, and lines in a log.
    """

    @contextmanager
    def bar(
        self, label: str, total: int, done: int = 0, *, at_notes: bool = False
    ) -> Iterator[_Bar | LineBar]:
        """Show count, speed, elapsed time and remaining time; in a log, with `at_notes`, a line for each note."""
        if not err.is_terminal:
            lines = LineBar(label, total, done, self._print_line, at_notes=at_notes)
            try:
                yield lines
            finally:
                lines.close()
            return
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

    @contextmanager
    def status(self, label: str) -> Iterator[None]:
        """Show the name of work without a count: until it ends on a terminal, as a line in a log."""
        if not err.is_terminal:
            self._print_line(label)
            yield
            return
        with err.status(Text(label)):
            yield

    def _print_line(self, text: str) -> None:
        """Print a line at once, at any width."""
        err.print(text, soft_wrap=True)

    def say(self, text: str) -> None:
        """Print a line."""
        # A log keeps a message in a line.
        err.print(text, highlight=False, soft_wrap=not err.is_terminal)

    def warn(self, text: str) -> None:
        """Print a warning in yellow."""
        err.print(Text("warning: ", style="bold yellow") + Text(text, style="yellow"))


def show_json(report: "BaseModel") -> None:
    """Print a report as JSON, for another program."""
    from pydantic_core import PydanticSerializationError

    try:
        text = report.model_dump_json(indent=2)
    except PydanticSerializationError:  # paths of bytes that are not UTF-8
        text = json.dumps(report.model_dump(mode="json"), indent=2)
    typer.echo(text)


def show_command(label: str, *words: object) -> None:
    """Print a command that can be copied into a shell, with quoted names."""
    out.print(f"{label}: {shlex.join(map(str, words))}", soft_wrap=True)


def show_path(path: Path) -> None:
    """Print a path on a separate line: escaped for a terminal, byte for byte for another program."""
    if out.is_terminal:
        out.print(str(path), soft_wrap=True)
    else:
        typer.echo(os.fsencode(path))


def table(title: str, *columns: str) -> Table:
    """Create a table whose first column is text and whose other columns are numbers."""
    styled = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for number, column in enumerate(columns):
        styled.add_column(column, justify="left" if number == 0 else "right")
    return styled


def percent(value: float | None) -> str:
    """Format a share in 0..1 as percent; a dash for None."""
    return "-" if value is None else f"{100 * value:.2f}"
