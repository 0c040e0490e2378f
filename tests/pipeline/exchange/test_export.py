"""An exported student computes what the run's own does, in every format and at every size."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import pipeline.exchange.export
from pipeline.evaluate.run import load_run
from pipeline.exchange.export import export_run, load_exported
from pipeline.extract.run import extract
from pipeline.train.run import train
from rsmtdf_core.errors import ConfigError, RunError


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of trained runs by what is special about them, made once."""
    return {"at": tmp_path_factory.mktemp("runs")}


KINDS = {
    "cnn": (),
    "second pass": ("student.encoder=test_vit",),
    "shared pass": ("student.encoder=test_vit", "student.second_encoding=shared"),
    "attention": ("student.encoder=test_vit", "student.fusion.mode=attention"),
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


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("file_format", ["safetensors", "pt2", "onnx"])
def test_logits_are_the_runs_own_at_three_sizes(make_run, tmp_path, kind, file_format):
    report = export_run(make_run(kind), tmp_path / "out", file_format)
    sizes = {(one.height, one.width) for one in report.checks}
    assert len(sizes) == 3
    assert all(0 <= one.difference < 1e-4 for one in report.checks)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"student.{file_format}", f"student.{file_format}.json"]


def test_onnx_runs_without_this_package_and_names_what_it_takes(make_run, tmp_path):
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
        own = trained.student.logits(trained.student.normalise(torch.from_numpy(pixels)))
    np.testing.assert_allclose(logits, own.numpy(), atol=1e-4 * float(own.abs().max()))


def test_the_weights_alone_make_the_student_again(make_run, tmp_path):
    run = make_run("attention")
    report = export_run(run, tmp_path, "safetensors", weights="student")
    own = load_run(run, "student").student
    for name, tensor in load_exported(report.file).state_dict().items():
        assert torch.equal(tensor, own.state_dict()[name])
    assert json.loads(report.facts.read_text())["weights"] == "student"
    # Random teachers are told wherever the run goes.
    assert any("random" in caution.lower() for caution in report.cautions)
    assert json.loads(report.facts.read_text())["cautions"] == list(report.cautions)


def test_a_file_is_not_replaced_unless_asked(make_run, tmp_path):
    run = make_run("cnn")
    first = export_run(run, tmp_path, "safetensors")
    with pytest.raises(RunError, match="there already"):
        export_run(run, tmp_path, "safetensors")
    assert export_run(run, tmp_path, "safetensors", overwrite=True).file == first.file


def test_a_model_that_computes_something_else_is_not_kept(make_run, tmp_path, monkeypatch):
    read = pipeline.exchange.export._READERS["safetensors"]

    def wrong(file):
        run = read(file)
        return lambda pixels: run(pixels) * 1.001

    monkeypatch.setitem(pipeline.exchange.export._READERS, "safetensors", wrong)
    with pytest.raises(RunError, match="computes something else"):
        export_run(make_run("cnn"), tmp_path / "out", "safetensors")
    assert list((tmp_path / "out").iterdir()) == []


def test_missing_packages_are_told(make_run, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline.exchange.export, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="onnx is not installed") as caught:
        export_run(make_run("cnn"), tmp_path, "onnx")
    assert "rsmtdf[export]" in caught.value.remedy


def test_weights_without_their_facts_are_refused(make_run, tmp_path):
    report = export_run(make_run("cnn"), tmp_path / "whole", "safetensors")
    shutil.copytree(tmp_path / "whole", tmp_path / "part")
    (tmp_path / "part" / report.facts.name).unlink()
    with pytest.raises(RunError):
        load_exported(tmp_path / "part" / report.file.name)
