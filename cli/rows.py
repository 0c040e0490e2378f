"""Tables of named things, such as runs and stores, that stay readable and copyable at any width."""

from typing import Any

from rich.cells import cell_len
from rich.table import Table

from cli.console import PlainConsole, Text, out

_INDENT = "    "


def show_rows(rows: Table, console: PlainConsole = out) -> None:
    """Print a table; if it is wider than the console, print each row as a name and lines of facts below it.

    A name, the first cell of a row, is never broken or shortened, so that it can be copied into a command.
    """
    if rows.title:
        # Not as the table's title, which would be wrapped at the table's width.
        console.print(rows.title, style="bold", soft_wrap=True)
        rows.title = None
    unlimited = console.options.update_width(10_000)
    if console.measure(rows, options=unlimited).maximum <= console.width:
        console.print(rows)
        return
    for name, *cells in zip(*(column.cells for column in rows.columns), strict=True):
        console.print(name, style="bold", soft_wrap=True)
        heads = [column.header for column in rows.columns[1:]]
        facts = [_fact(head, cell) for head, cell in zip(heads, cells, strict=True)]
        for line in _lines(facts, console.width):
            console.print(line, soft_wrap=True)


def _fact(head: object, cell: Any) -> Text:  # noqa: ANN401 - text of rich or a string
    fact = Text()
    fact.append(f"{head} ", "dim")
    fact.append(cell)
    return fact


def _lines(facts: list[Text], width: int) -> list[Text]:
    """Fill indented lines with facts, none of which is broken."""
    lines: list[Text] = []
    for fact in facts:
        if lines and cell_len(lines[-1].plain) + 2 + cell_len(fact.plain) <= width:
            lines[-1].append("  ").append(fact)
        else:
            lines.append(Text(_INDENT))
            lines[-1].append(fact)
    return lines
