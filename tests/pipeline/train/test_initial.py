"""Weights that a run starts from, out of files from elsewhere."""

import pytest
import torch
from safetensors.torch import save_file

from pipeline.train.initial import find_initial
from rsmtdf_core.errors import RunError

STATE = {"encoder.net.norm.weight": torch.ones(3), "head.output.0.bias": torch.zeros(2)}


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_of_any_format_keeps_our_names(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": {f"module.{name}": STATE[name] for name in STATE}}, path)
    else:
        save_file(STATE, path)
    initial = find_initial(path)
    assert initial.weights.keys() == STATE.keys()
    assert initial.facts["path"] == str(path)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        ("b.pth", b"<!DOCTYPE html>", "a web page"),
        ("c.safetensors", b"\xff" * 40, "an unknown format"),
    ],
)
def test_files_without_weights_are_named(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RunError, match=f"not a readable weights file: {reason}") as caught:
        find_initial(tmp_path / name)
    assert caught.value.where == f"--init-from {tmp_path / name}"


def test_weights_that_are_not_finite_are_refused(tmp_path):
    save_file(
        STATE | {"head.output.0.bias": torch.tensor([1.0, torch.nan])}, tmp_path / "w.safetensors"
    )
    with pytest.raises(RunError, match=r"NaN or infinity, the first is head.output.0.bias"):
        find_initial(tmp_path / "w.safetensors")
