"""An exported student computes the same logits as the run's model, in every format and at every size."""

import errno
import json
import os
import shutil
from contextlib import suppress
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

import pipeline.exchange.export
import pipeline.exchange.pair
from pipeline.exchange.export import export_run, load_exported
from pipeline.exchange.tiles import TileSettings, export_tiles
from pipeline.extract.run import extract
from pipeline.train.run import train
from pipeline.trained import load_run
from rsmtdf_core.errors import ConfigError, RunError, WriteError
from rsmtdf_core.files import write_json
from rsmtdf_core.fingerprints import file_sha256
from tests import tiny_models
from tests.caches import tree
from tests.damages import FILE_DAMAGES, run_remedy
from tests.reliability.tap import tapped


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of trained runs by their special feature, trained once."""
    return {"at": tmp_path_factory.mktemp("runs")}


KINDS = {
    "cnn": (),
    "second pass": ("student.encoder=test_vit",),
    "shared pass": ("student.encoder=test_vit", "student.second_encoding=shared"),
    "attention": ("student.encoder=test_vit", "student.fusion.mode=attention"),
    "pyramid": ("student.translator_input=pyramid",),
}
# A teacher of which a second pass at 32 px gives a ViT of patch 16 the grid.
SMALLER = "teachers.vit.input_size=32"


@pytest.fixture
def make_run(runs, make_config):
    def make(kind: str) -> Path:
        if kind not in runs:
            config = make_config(
                *KINDS[kind], SMALLER, "optimiser.max_steps=3", "optimiser.lr=0.01"
            )
            extract(config)
            runs[kind] = train(config, runs["at"] / kind.replace(" ", "-")).run
        return runs[kind]

    return make


QUICK = [("pt2", "cnn"), ("onnx", "cnn"), ("onnx", "attention")]
CASES = [
    case
    if case[0] == "safetensors" or case in QUICK
    else pytest.param(*case, marks=pytest.mark.reliability)
    for case in product(["safetensors", "pt2", "onnx"], KINDS)
]


@pytest.mark.slow
@pytest.mark.parametrize(("file_format", "kind"), CASES)
def test_logits_equal_those_of_the_run_at_three_sizes(make_run, tmp_path, kind, file_format):
    report = export_run(make_run(kind), tmp_path / "out", file_format)
    sizes = {(check.height, check.width) for check in report.checks}
    assert len(sizes) == 3
    assert all(0 <= check.difference < 1e-4 for check in report.checks)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"student.{file_format}", f"student.{file_format}.json"]


def test_onnx_runs_without_this_package_and_describes_its_inputs(make_run, tmp_path):
    import onnxruntime

    report = export_run(make_run("cnn"), tmp_path, "onnx")
    session = onnxruntime.InferenceSession(report.file)
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    assert (taken.name, taken.type, given.name) == ("images", "tensor(uint8)", "logits")
    facts = json.loads(report.facts.read_text())
    unit = facts["input"]["multiple_of"]
    pixels = np.full((3, 3, 5 * unit, 4 * unit), 90, np.uint8)
    logits = session.run(None, {"images": pixels})[0]
    assert logits.shape == (3, len(facts["classes"]), 5 * unit, 4 * unit)
    trained = load_run(make_run("cnn"))
    with torch.inference_mode():
        expected = trained.student.logits(trained.student.normalise(torch.from_numpy(pixels)))
    np.testing.assert_allclose(logits, expected.numpy(), atol=1e-4 * float(expected.abs().max()))


def test_the_weights_alone_make_the_student_again(make_run, tmp_path):
    run = make_run("attention")
    report = export_run(run, tmp_path, "safetensors", weights="student")
    expected = load_run(run, "student").student
    for name, tensor in load_exported(report.file).state_dict().items():
        assert torch.equal(tensor, expected.state_dict()[name])
    assert json.loads(report.facts.read_text())["weights"] == "student"
    # Every output of the run names its random teachers.
    assert any("random" in caution.lower() for caution in report.cautions)
    assert json.loads(report.facts.read_text())["cautions"] == list(report.cautions)


def test_a_file_is_not_replaced_unless_asked(make_run, tmp_path):
    run = make_run("cnn")
    first = export_run(run, tmp_path, "safetensors")
    with pytest.raises(RunError, match="exists already"):
        export_run(run, tmp_path, "safetensors")
    assert export_run(run, tmp_path, "safetensors", overwrite=True).file == first.file


def test_a_replaced_model_never_has_the_facts_of_another(make_run, tmp_path):
    """Whichever change of names ends the export."""
    run = make_run("cnn")
    export_run(run, tmp_path / "before", "safetensors", weights="ema")
    before = tree(tmp_path / "before")
    for number in range(40):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, content in before.items():
            (folder / name).write_bytes(content)
        seen = []

        def hook(op, path, act, _half, seen=seen, number=number):
            seen.extend([path] if op in ("rename", "remove") else [])
            if len(seen) > number:
                raise OSError(errno.EIO, os.strerror(errno.EIO), path)
            return act()

        with tapped(folder, hook), suppress(WriteError, OSError):
            export_run(run, folder, "safetensors", weights="student", overwrite=True)
        if (file := folder / "student.safetensors").exists():
            facts = json.loads((folder / "student.safetensors.json").read_text())
            assert facts["sha256"] == file_sha256(file)
            load_exported(file)
        export_run(run, folder, "safetensors", weights="student", overwrite=True)
        assert sorted(path.name for path in folder.iterdir() if ".tmp" not in path.name) == [
            "student.safetensors",
            "student.safetensors.json",
        ]
        if len(seen) <= number:
            break
    assert 3 < number < 39


def test_a_model_with_the_facts_of_another_is_refused(make_run, tmp_path):
    run = make_run("cnn")
    ema = export_run(run, tmp_path / "ema", "safetensors", weights="ema")
    student = export_run(run, tmp_path / "student", "safetensors", weights="student")
    student.file.replace(ema.file)
    with pytest.raises(RunError, match="it was changed after it was written") as caught:
        load_exported(ema.file)
    assert "--overwrite" in caught.value.remedy


def test_a_model_that_computes_something_else_is_not_kept(make_run, tmp_path, monkeypatch):
    read = pipeline.exchange.export._READERS["safetensors"]

    def wrong(file):
        run = read(file)
        return lambda pixels: run(pixels) * 1.001

    monkeypatch.setitem(pipeline.exchange.export._READERS, "safetensors", wrong)
    with pytest.raises(RunError, match="differs from the run"):
        export_run(make_run("cnn"), tmp_path / "out", "safetensors")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("kind", ["pt2", "onnx"])
def test_a_student_that_torch_cannot_export_is_refused(make_run, tmp_path, monkeypatch, kind):
    def fail(*_arguments):
        raise ValueError("the size depends on data\nand more")

    monkeypatch.setattr(pipeline.exchange.export, "export_program", fail)
    with pytest.raises(
        RunError,
        match=r"(?m)test_efficientnet' cannot be exported .*: ValueError: the size depends on data$",
    ) as caught:
        export_run(make_run("cnn"), tmp_path / "out", kind)
    assert "--format safetensors" in caught.value.remedy
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_that_does_not_run_at_other_sizes_is_refused(make_run, tmp_path, monkeypatch):
    """As with the windows of Swin, whose trace holds for some sizes alone."""

    def reader(_file):
        def run(_pixels):
            raise AssertionError("Guard failed: " + "x" * 1000)

        return run

    monkeypatch.setitem(pipeline.exchange.export._READERS, "safetensors", reader)
    with pytest.raises(RunError, match="AssertionError: Guard failed") as caught:
        export_run(make_run("cnn"), tmp_path / "out", "safetensors")
    assert len(caught.value.what) < 400
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.reliability
@pytest.mark.parametrize("encoder", [tiny_models.SWIN, "efficientformerv2_s0"])
def test_windowed_students_and_those_of_one_size_are_exported_right_or_refused(
    make_config, tmp_path, encoder
):
    """No file remains whose logits differ from the run's; tiles of one size are always possible."""
    words = ["objective.method=supervised", f"student.encoder={encoder}", "optimiser.max_steps=1"]
    run = train(make_config(*words)).run
    try:
        report = export_run(run, tmp_path / "any", "pt2")
    except RunError:
        assert list((tmp_path / "any").iterdir()) == []
    else:
        assert all(check.difference <= 1e-4 for check in report.checks)
        assert report.file.is_file()
    tiles = TileSettings(program="qgis", resolution=30)
    assert export_tiles(run, tmp_path / "tiles", tiles).loss.difference <= 1e-4


def test_missing_packages_are_reported(make_run, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline.exchange.pair, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="onnx is not installed") as caught:
        export_run(make_run("cnn"), tmp_path, "onnx")
    assert "rsmtdf[export]" in caught.value.remedy


def test_weights_without_their_facts_are_refused(make_run, tmp_path):
    report = export_run(make_run("cnn"), tmp_path / "whole", "safetensors")
    shutil.copytree(tmp_path / "whole", tmp_path / "part")
    (tmp_path / "part" / report.facts.name).unlink()
    with pytest.raises(RunError):
        load_exported(tmp_path / "part" / report.file.name)


def test_a_damaged_export_is_named_and_the_printed_command_makes_it_again(make_run, tmp_path):
    run, whole = make_run("cnn"), tmp_path / "whole"
    report = export_run(run, whole, "safetensors")
    files = {path.name: path.read_bytes() for path in whole.iterdir()}
    for number, (name, kind) in enumerate(product(files, FILE_DAMAGES)):
        folder = shutil.copytree(whole, tmp_path / f"{number} damaged")
        FILE_DAMAGES[kind](folder / name, tmp_path / f"outside {number}")
        if kind == "a link" or (
            (folder / name).is_file() and (folder / name).read_bytes() == files[name]
        ):
            continue  # the same bytes
        with pytest.raises(RunError) as refused:
            load_exported(folder / report.file.name)
        assert name in refused.value.where, (name, kind)
        if kind in ("a bit in the middle", "a folder", "a pipe"):
            run_remedy(refused.value.remedy, {"RUN": str(run)})
            assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
            load_exported(folder / report.file.name)


def test_an_export_of_an_earlier_version_is_read(make_run, tmp_path):
    report = export_run(make_run("cnn"), tmp_path, "safetensors")
    facts = json.loads(report.facts.read_text())
    for key in ("fingerprint", "sha256"):
        del facts[key]
    write_json(report.facts, facts)
    load_exported(report.file)
