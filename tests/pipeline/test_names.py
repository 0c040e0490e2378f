"""Names of scenes, classes and files appear unchanged in tables, pages and pictures."""

import csv
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.runs.compare.pictures import write_pictures
from pipeline.runs.compare.tables import write_tables
from pipeline.runs.compare.values import Comparison, GroupScores, MeanStd, RunScore
from pipeline.runs.report.page import environment
from rsmtdf_core.charts.canvas import canvas, text_width
from rsmtdf_core.words import one_line, printable

# Letters that the pictures' font has, and all that Markdown, HTML, matplotlib and terminals give a meaning.
names = st.text(st.characters(max_codepoint=0x17F), min_size=1, max_size=20)
AWKWARD = [
    "$x_1$ and $\\frac{a$",
    "a|b",
    "<b>*c*</b>",
    "[n/a](/)",
    "[/]",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "<script>alert(1)</script>",
    "\x1b[31m",
    "two\nlines",
    "\\",
]


def for_names(test):
    """Run a test with names of every kind."""
    for name in AWKWARD:
        test = example(name=name)(test)
    return given(name=names)(test)


def comparison_of(name: str) -> Comparison:
    spread = MeanStd(mean=0.5, std=None, runs=1)
    run = RunScore(
        run=name,
        path=Path("runs/a"),
        seed=0,
        status="finished",
        steps=1,
        miou=0.5,
        overall_accuracy=0.5,
        best_steps=1,
        classes={name: 0.5},
    )
    group = GroupScores(
        label=name,
        settings={},
        random_teachers=(),
        runs=(run,),
        miou=spread,
        overall_accuracy=spread,
        classes={name: spread},
    )
    return Comparison(dataset="d", measure="mIoU", groups=(group,), warnings=(name,))


def run_of(name: str) -> SimpleNamespace:
    """A run with one loss of a name."""
    method = SimpleNamespace(losses={f"loss {name}": name})
    config = SimpleNamespace(method=method)
    config.phases = (config,)
    return SimpleNamespace(lines=[{"step": 0, f"loss {name}": 1.0}], config=config)


@for_names
def test_tables_have_a_cell_for_each_name(tmp_path_factory, name: str):
    folder = tmp_path_factory.mktemp("tables")
    write_tables(folder, comparison_of(name), classes=True)
    with (folder / "table.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert row["group"] == one_line(name)
    assert f"iou {one_line(name)} mean" in row
    lines = (folder / "table.md").read_text().split("\n")
    heads, ruler, cells = lines[2:5]
    for line in (heads, ruler, cells):
        assert line.replace("\\\\", "").replace("\\|", "").count("|") == 7
    assert len(lines) == 8
    assert "".join(lines).isprintable()
    shown = cells.split(" | ")[0].removeprefix("| ")
    for escaped in "|<>*[]":
        shown = shown.replace(f"\\{escaped}", escaped)
    assert shown.replace("\\\\", "\\") == one_line(name)


@for_names
def test_a_page_shows_a_name_and_gets_no_element_of_it(name: str):
    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.tags: list[object] = []
            self.text = ""

        def handle_starttag(self, tag, attrs):
            self.tags.append((tag, attrs))

        def handle_data(self, data):
            self.text += data

    reader = Reader()
    template = environment().from_string('<p title="{{ name }}">{{ name }}</p>')
    reader.feed(template.render(name=name))
    reader.close()
    assert reader.tags == [("p", [("title", printable(name))])]
    assert reader.text == printable(name)


@settings(max_examples=10)
@given(name=names)
@example(name=AWKWARD[0])
@example(name=AWKWARD[4])
def test_pictures_are_drawn_with_any_name(tmp_path_factory, name: str):
    folder = tmp_path_factory.mktemp("pictures")
    write_pictures(folder, comparison_of(name), [[run_of(name)]])
    with canvas(folder / "canvas.png", 200, 50) as page:
        page.text(0, 20, name)
    assert text_width(name) == text_width(one_line(name)) >= 0
    assert (folder / "scores.png").stat().st_size
    assert (folder / "canvas.png").stat().st_size


def test_a_dollar_sign_in_a_title_begins_no_formula(tmp_path, monkeypatch):
    from matplotlib.mathtext import MathTextParser

    def parse(*_):
        pytest.fail("a title was read as a formula")

    monkeypatch.setattr(MathTextParser, "parse", parse)
    write_pictures(tmp_path, comparison_of("$x_1$"), [[run_of("$x_1$")]])
