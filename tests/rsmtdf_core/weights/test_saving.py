"""Tensors are saved whole or not at all, in files as readable as any other new file."""

import os
import stat

import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError

import rsmtdf_core.weights.saving
from rsmtdf_core.errors import WriteError
from rsmtdf_core.weights.saving import save_tensors

TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor([7])}


def test_tensors_come_back_as_they_were(tmp_path):
    path = tmp_path / "new" / "student.safetensors"
    save_tensors(TENSORS, path)
    loaded = safetensors.torch.load_file(path)
    assert loaded.keys() == TENSORS.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in TENSORS.items())
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_the_file_has_the_permissions_of_any_new_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        (tmp_path / "plain").touch()
        save_tensors(TENSORS, tmp_path / "weights")
    finally:
        os.umask(before)
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "weights")}
    assert modes == {0o666 & ~mask}


def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "student.safetensors"
    save_tensors(TENSORS, path)
    before = path.read_bytes()

    def fail(tensors, file):
        file.write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(rsmtdf_core.weights.saving, "save_file", fail)
    with pytest.raises(WriteError, match="No space left") as caught:
        save_tensors({}, path)
    assert caught.value.where == str(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_that_is_not_the_systems_stays_as_it_is(tmp_path, monkeypatch):
    def fail(*_arguments):
        raise SafetensorError("the header is too large")

    monkeypatch.setattr(rsmtdf_core.weights.saving, "save_file", fail)
    with pytest.raises(SafetensorError, match="header"):
        save_tensors({}, tmp_path / "weights")
    assert list(tmp_path.iterdir()) == []
