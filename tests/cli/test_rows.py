"""Tables of runs and stores can be read and copied at every width."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from cli import console
from cli.console import PlainConsole, Text, table
from cli.rows import show_rows

NAMES = ("views-0123456789abcdef/dino-0123456789ab-fp16", "runs/[bold]mine:tree:-rs-mtdf-seed0")


def printed(width, *names, features="K 4: dino-fp16, clip-int8", title="folder"):
    written = io.StringIO()
    rows = table(title, "run", "method", "features", "state")
    for name in names:
        rows.add_row(name, "rs-mtdf", Text(features), Text("finished", style="green"))
    show_rows(rows, PlainConsole(file=written, color_system=None, width=width))
    return written.getvalue()


@given(width=st.integers(1, 300), names=st.lists(st.sampled_from(NAMES), max_size=4))
def test_each_name_and_fact_is_whole_at_every_width(width, names):
    text = printed(width, *names)
    for name in set(names):
        assert text.count(name) == names.count(name)
    assert text.count("K 4: dino-fp16, clip-int8") == len(names)
    assert text.count("finished") == len(names)


@pytest.mark.parametrize("name", NAMES)
def test_at_80_columns_a_wide_row_is_a_name_and_facts_below(name):
    first, *others = printed(80, name, features="K 4: " + "x" * 30).splitlines()
    assert first == "folder"
    assert others == [
        name,
        f"    method rs-mtdf  features K 4: {'x' * 30}  state finished",
    ]
    assert all(cell_len(line) <= 80 for line in others)


def test_a_table_that_fits_stays_a_table():
    assert "\u2502" in printed(120, *NAMES)


@pytest.mark.parametrize("width", [80, 120])
def test_a_long_title_is_not_broken(width):
    title = "/" + "folder/" * 30
    assert title in printed(width, *NAMES, title=title)


def test_control_sequences_are_escaped():
    text = printed(30, "\x1b[2Jname")
    assert "\\x1b[2Jname" in text
    assert "\x1b" not in text
    assert console.visible("\x1b") == "\\x1b"
