"""`rsmtdf export` and `rsmtdf import-official` hand their options over and show the result."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import pipeline.exchange.export
import pipeline.exchange.import_official
from cli.main import app


@pytest.fixture
def exported(monkeypatch, tmp_path):
    """The arguments that the export was called with."""
    calls = []
    (tmp_path / "model.onnx").write_bytes(bytes(2**20))
    check = SimpleNamespace(images=2, height=64, width=96, difference=1.5e-6)

    def record(*arguments, reporter, **options):
        calls.append((arguments, options))
        return SimpleNamespace(
            checks=[check],
            file=tmp_path / "model.onnx",
            facts=tmp_path / "model.json",
            cautions=["teachers had random weights"],
        )

    monkeypatch.setattr(pipeline.exchange.export, "export_run", record)
    return calls


@pytest.fixture
def imported(monkeypatch):
    """The arguments that the import was called with."""
    calls = []

    def record(*arguments, reporter, **options):
        calls.append((arguments, options))
        return SimpleNamespace(
            size="small",
            parameters=24_800_000,
            weights=options["weights"],
            left_out=3,
            official_score=61.234,
            run=Path("runs/official"),
        )

    monkeypatch.setattr(pipeline.exchange.import_official, "import_official", record)
    return calls


def call(*words):
    return CliRunner().invoke(app, words, env={"COLUMNS": "200"})


def test_an_export_shows_its_checks_its_file_and_its_cautions(exported):
    done = call("export", "run")
    assert done.exit_code == 0, done.output
    assert exported == [
        (
            (Path("run"), Path("exported"), "onnx"),
            {"weights": None, "overwrite": False, "checkpoint": None},
        )
    ]
    for text in ("64 x 96", "1.5e-06", "model.onnx", "1.0 MiB", "teachers had random weights"):
        assert text in done.output


@pytest.mark.parametrize("kind", ["safetensors", "pt2", "onnx"])
def test_the_options_of_an_export_are_handed_over(exported, kind):
    words = ["--format", kind, "--weights", "student", "--overwrite", "--out", "to"]
    assert call("export", "run", *words, "--checkpoint", "run/best/step-1").exit_code == 0
    assert exported == [
        (
            (Path("run"), Path("to"), kind),
            {"weights": "student", "overwrite": True, "checkpoint": "run/best/step-1"},
        )
    ]


def test_an_import_shows_its_facts_and_the_command_that_scores_it(imported):
    done = call("import-official", "a.pth", "--dataset", "loveda", "--root", "data")
    assert done.exit_code == 0, done.output
    options = {"root": Path("data"), "run": None, "weights": "student", "overwrite": False}
    assert imported == [((Path("a.pth"), "loveda"), options)]
    for text in ("small student, 24.8 M", "mIoU 61.23", "rsmtdf evaluate runs/official"):
        assert text in done.output


def test_an_import_needs_its_dataset(imported):
    assert call("import-official", "a.pth").exit_code == 2
    assert imported == []
