"""Names from outside are printed literally, and control sequences in them never reach the terminal."""

import io
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel
from rich.tree import Tree

from cli import console, evaluate, main
from cli.data import commands as data
from rsmtdf_core.errors import RsmtdfError
from rsmtdf_core.evaluation.counts import PixelCounts
from rsmtdf_core.evaluation.protocols.find import find_protocols
from rsmtdf_core.evaluation.report import EvaluationReport
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.scenes.check import DatasetCheck, SplitCheck
from rsmtdf_core.scenes.manifest import load_manifest
from rsmtdf_core.scenes.problems import Problem
from rsmtdf_core.words import one_line, printable

AWKWARD = [
    "scene[north].tif",
    "n/a [/]",
    "[bold]",
    ":tree:",
    "a\\",
    "[",
    "$x_1$",
    "{0}",
    "\x1b[2J\x1b]0;title\x07",
    "\x9b31m",
    "\u202egnp.exe",
    "\U0001f3fb",  # the skin tone of an emoji, alone
    "\u0301",  # an accent, alone
]


def for_names(test: Callable[[str], None]) -> Callable[[], None]:
    """Run a test with names of every kind."""
    for name in AWKWARD:
        test = example(name=name)(test)
    return given(name=st.text(min_size=1, max_size=30))(test)


def printed(print_name: Callable[[], object]) -> str:
    """Return the output of a function on both consoles, without colors or line breaks at a width."""
    written = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("out", "err"):
            plain = console.PlainConsole(file=written, color_system=None, width=100_000)
            for module in (console, data, evaluate, main):
                if hasattr(module, name):
                    patch.setattr(module, name, plain)
        print_name()
    return written.getvalue()


def assert_shown(text: str, name: str, times: int = 1) -> None:
    assert text.replace("\n", "").isprintable()
    for line in printable(name).split("\n"):
        # Alone in its line or cell, an accent is escaped; after a label it is not.
        forms = {line.strip(), console.visible(line).strip()}
        assert sum(map(text.count, forms)) >= times


@for_names
def test_printable_text_equals_that_of_repr(name: str):
    shown = printable(name)
    assert shown.replace("\n", "").isprintable()
    assert shown == name or not name.isprintable()


@for_names
def test_every_way_to_print_shows_a_name_as_it_is(name: str):
    reporter = console.RichReporter()

    def bar() -> None:
        with reporter.bar(name, 2, at_notes=True) as shown:
            shown.advance(2, name)

    def status() -> None:
        with reporter.status(name):
            pass

    for way in (
        lambda: console.out.print(name),
        lambda: console.out.print(console.Text(name)),
        lambda: console.err.print(name, style="bold yellow"),
        lambda: console.show("store", name),
        lambda: console.out.print(Tree(name)),
        lambda: reporter.say(name),
        lambda: reporter.warn(name),
        bar,
        status,
    ):
        assert_shown(printed(way), name)


def test_a_log_has_lines_for_progress_and_no_bar():
    reporter = console.RichReporter()

    def train() -> None:
        with reporter.status("reading the scenes"):
            pass
        with reporter.bar("train", 40, at_notes=True) as bar:
            bar.advance(note="loss 1.5")
            bar.advance(9)
            bar.advance(note="loss 0.5")

    first, second, third = printed(train).splitlines()
    assert first == "reading the scenes"
    assert second.startswith("train: 1 of 40 (2 %), loss 1.5")
    assert third.startswith("train: 11 of 40 (27 %), loss 0.5")


@pytest.mark.parametrize("label", ["reading [the] scenes", "a\x1b[2Jb"])
def test_a_terminal_shows_a_status(label, monkeypatch):
    monkeypatch.setattr(console.PlainConsole, "is_terminal", True)
    reporter = console.RichReporter()

    def show() -> None:
        with reporter.status(label):
            reporter.say("a line")

    shown = printed(show)
    assert console.visible(label) in shown
    assert "a line" in shown


@for_names
def test_tables_show_names_in_titles_heads_and_cells(name: str):
    table = console.table(name, name, name)
    table.add_row(name, console.Text(name))
    assert_shown(printed(lambda: console.out.print(table)), name, times=5)


@for_names
def test_errors_show_names(name: str):
    def fail() -> None:
        raise RsmtdfError(f"no scene {name}", where=name, remedy=f"rename {name}")

    def run() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(main, "app", fail)
            patch.setattr(main, "_quiet", lambda: None)
            with pytest.raises(SystemExit):
                main.main()

    shown = printed(run)
    assert_shown(shown, name, times=2)
    assert f"  where: {one_line(name)}\n" in shown  # a name cannot begin a line of its own


@for_names
def test_scores_of_classes_and_checks_of_files_with_any_name_are_shown(name: str):
    whole = load_manifest("synthetic")
    named = whole.classes[0].model_copy(update={"name": name})
    manifest = whole.model_copy(
        update={"classes": (named, *whole.classes[1:]), "unscored": (name,)}
    )
    counts = PixelCounts(np.ones((6, 6), np.int64), np.zeros(6, np.int64))
    [scores] = (rule(counts, manifest) for rule in find_protocols(["rsmtdf"]))
    report = EvaluationReport(
        **dict(scores),
        run=name,
        dataset=name,
        split="test",
        weights="ema",
        parent="",
        inference=InferenceSettings(),
        images=1,
        confusion=(),
        notes=(name,),
        random_teachers=(name,),
    )
    assert_shown(printed(lambda: evaluate.show_report(report)), name, times=5)
    split = SplitCheck(
        name="test",
        scenes=1,
        labeled=1,
        pixels=dict.fromkeys(manifest.class_names, 1),
        ignored=0,
        unlabeled=(name,),
    )
    result = DatasetCheck(
        manifest=name, splits=(split,), problems=(Problem(file=name, what=name),), notes=()
    )
    assert_shown(printed(lambda: console.out.print(data._splits_table(manifest, result))), name)
    assert_shown(printed(lambda: console.out.print(data._problems_table(result))), name, times=2)


def test_our_warnings_are_shown_like_all_others():
    logger = logging.getLogger("rsmtdf_core.weights.states")
    handler = main._Warnings()
    logger.addHandler(handler)
    try:
        text = printed(lambda: logger.warning("%s: [one] of two", "w.pth"))
    finally:
        logger.removeHandler(handler)
    assert text == "warning: w.pth: [one] of two\n"


def test_a_path_reaches_another_program_byte_by_byte(capfdbinary):
    names = [b"scene[north].tif", b"caf\xe9.tif", b"\x1b[31m.tif"]
    for name in names:
        console.show_path(Path(os.fsdecode(name)))
    assert capfdbinary.readouterr().out.splitlines() == names


def test_a_terminal_shows_a_path_escaped(monkeypatch):
    monkeypatch.setattr(console.PlainConsole, "is_terminal", True)
    path = Path(os.fsdecode(b"caf\xe9\x1b[31m.tif"))
    assert printed(lambda: console.show_path(path)) == "caf\\udce9\\x1b[31m.tif\n"


def test_json_holds_paths_of_any_bytes(capsys):
    class Report(BaseModel):
        path: Path
        share: float | None = None

    for name in (b"a[b]", b"caf\xe9"):
        console.show_json(Report(path=Path(os.fsdecode(name))))
        shown = json.loads(capsys.readouterr().out)
        assert os.fsencode(shown["path"]) == name
