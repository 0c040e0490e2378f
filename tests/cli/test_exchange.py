"""`rsmtdf export` and `rsmtdf import-official` hand their options over and show the result."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import pipeline.exchange.export
import pipeline.exchange.import_official
import pipeline.exchange.tiles
from cli.main import app
from pipeline.exchange.tiles import TileSettings


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
    options = {"root": Path("data"), "run": None, "weights": "student"}
    options |= {"splits": None, "overwrite": False}
    assert imported == [((Path("a.pth"), "loveda"), options)]
    for text in ("small student, 24.8 M", "mIoU 61.23", "rsmtdf evaluate runs/official"):
        assert text in done.output


def test_an_import_needs_its_dataset(imported):
    assert call("import-official", "a.pth").exit_code == 2
    assert imported == []


@pytest.fixture
def tiled(monkeypatch, tmp_path):
    """The arguments that the export for a program was called with."""
    calls = []
    (tmp_path / "model.onnx").write_bytes(bytes(2**20))
    loss = SimpleNamespace(
        agreement=0.98765, difference=0.0123, mean_difference=1e-4, origin="windows of 8 scenes"
    )

    def record(*arguments, reporter, **options):
        calls.append((arguments, options))
        return SimpleNamespace(
            file=tmp_path / "model.onnx",
            facts=tmp_path / "model.json",
            program="GeoDeep",
            opset=18,
            input=(1, 3, 512, 512),
            output=(1, 6, 512, 512),
            resolution=30.0,
            overlap=33,
            loss=loss,
            cautions=["teachers had random weights"],
        )

    monkeypatch.setattr(pipeline.exchange.tiles, "export_tiles", record)
    return calls


def test_an_export_for_a_program_shows_shapes_metadata_and_loss(tiled):
    words = ["--for", "geodeep", "--precision", "fp16", "--resolution", "30", "--tile", "512"]
    done = call("export", "run", *words, "--root", "data")
    assert done.exit_code == 0, done.output
    settings = TileSettings(program="geodeep", precision="fp16", resolution=30, tile=512)
    options = {"weights": None, "root": Path("data"), "overwrite": False, "checkpoint": None}
    assert tiled == [((Path("run"), Path("exported"), settings), options)]
    for text in ("[1, 3, 512, 512]", "opset 18", "30 cm/px", "33 %", "98.77%", "teachers had"):
        assert text in done.output


@pytest.mark.parametrize(
    "words", [["--precision", "int8"], ["--tile", "64"], ["--for", "qgis", "--format", "pt2"]]
)
def test_options_of_programs_and_of_formats_do_not_mix(tiled, exported, words):
    assert call("export", "run", *words).exit_code == 2
    assert tiled == exported == []
