"""Weights files are data: every format reads as the same tensors, and no file can run code or fake its sizes."""

import io
import os
import pickle
import struct
import warnings
import zipfile
import zlib
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from rsmtdf_core.errors import TeacherError
from rsmtdf_core.weights.states import read_state

STATE = {
    "visual.class_embedding": torch.arange(4.0, dtype=torch.float16),
    "visual.conv1.weight": torch.arange(24.0).reshape(2, 3, 2, 2),
    "visual.transformer.resblocks.0.attn.in_proj_weight": torch.randn(6, 2),
    "visual.transformer.resblocks.0.ln_1.bias": torch.ones(2, dtype=torch.float64),
    "input_resolution": torch.tensor(224),
}


def assert_same(state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert state.keys() == expected.keys()
    for name, tensor in expected.items():
        assert state[name].dtype == tensor.dtype, name
        assert torch.equal(state[name], tensor.detach()), name


def scripted(module: nn.Module) -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch means to drop TorchScript
        return torch.jit.script(module)


def save_script(module: nn.Module, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted(module).save(path)


def nested(state: dict[str, torch.Tensor]) -> nn.Module:
    """A module whose state dict is `state`."""
    root = nn.Module()
    for name, tensor in state.items():
        *folders, leaf = name.split(".")
        module = root
        for folder in folders:
            if not hasattr(module, folder):
                module.add_module(folder, nn.Module())
            module = getattr(module, folder)
        if tensor.is_floating_point():
            module.register_parameter(leaf, nn.Parameter(tensor.clone()))
        else:
            module.register_buffer(leaf, tensor)
    return root


def write(path: Path, kind: str) -> Path:
    match kind:
        case "safetensors":
            save_file(STATE, path)
        case "torchscript":
            save_script(nested(STATE), path)
        case "module":
            torch.save(nested(STATE), path)
        case "legacy":
            torch.save(OrderedDict(STATE), path, _use_new_zipfile_serialization=False)
        case "parameters":
            torch.save(OrderedDict(nested(STATE).named_parameters()) | STATE, path)
        case _:
            torch.save(STATE, path)
    return path


KINDS = ["safetensors", "torchscript", "module", "legacy", "parameters", "plain"]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_format_reads_as_the_same_tensors_whatever_its_name(
    tmp_path: Path, kind: str, suffix: str
):
    assert_same(read_state(write(tmp_path / f"weights{suffix}", kind)), STATE)


def test_a_scripted_model_reads_as_its_state_dict(tmp_path: Path):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Sequential(nn.Linear(4, 2)))
    save_script(model, tmp_path / "model.pt")
    assert_same(read_state(tmp_path / "model.pt"), model.state_dict())


@pytest.mark.parametrize("legacy", [False, True])
def test_views_of_one_storage_and_every_dtype_are_read(tmp_path: Path, legacy: bool):
    whole = torch.arange(24.0)
    kinds = "float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool"
    state = {kind: torch.ones(3).to(getattr(torch, kind)) for kind in kinds.split()}
    state |= {"part": whole[3:9].reshape(2, 3), "columns": whole.reshape(4, 6)[:, 1:3].T}
    state |= {"scalar": torch.tensor(7.0), "empty": torch.empty(0, 3)}
    if not legacy:  # whose storages know no such type
        state |= {
            kind: torch.ones(3).to(getattr(torch, kind)) for kind in ("uint16", "float8_e5m2")
        }
    torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    loaded = read_state(tmp_path / "w.pth")
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name].double(), state[name].double()) for name in state)
    assert all(loaded[name].dtype == state[name].dtype for name in state)


class Hostile:
    """Unpickling it writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch '{self.target}'",)


class Writes(nn.Module):
    """A module whose archive overwrites a file as TorchScript loads it."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(2))
        self.target = target

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> tuple[torch.Tensor, str, bool]:
        return self.weight, self.target, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, str, bool]) -> None:
        self.weight = state[0]
        self.target = state[1]
        self.training = state[2]
        torch.save(self.weight, self.target)


def test_a_torchscript_archive_is_not_executed(tmp_path: Path):
    target = tmp_path / "precious"
    save_script(Writes(str(target)), tmp_path / "weights.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.load(tmp_path / "weights.pt")
    assert target.exists(), "the archive is not hostile, so this test would show nothing"
    target.unlink()
    with pytest.raises(TeacherError, match="contains no tensors"):
        read_state(tmp_path / "weights.pt")
    assert not target.exists()


@pytest.mark.parametrize("kind", ["zip", "legacy", "inside a TorchScript archive"])
def test_a_pickle_is_not_executed(tmp_path: Path, kind: str):
    target, path = tmp_path / "precious", tmp_path / "weights.pth"
    hostile = {"proj": torch.ones(2), "other": Hostile(target)}
    if kind == "inside a TorchScript archive":
        save_script(nested(STATE), tmp_path / "genuine.pt")
        content = io.BytesIO()
        torch.save(hostile, content)
        with (
            zipfile.ZipFile(tmp_path / "genuine.pt") as genuine,
            zipfile.ZipFile(content) as other,
            zipfile.ZipFile(path, "w") as archive,
        ):
            for name in genuine.namelist():
                inner = other if name.endswith(("/data.pkl", "/data/0")) else genuine
                folder = inner.namelist()[0].partition("/")[0]
                archive.writestr(name, inner.read(f"{folder}/{name.partition('/')[2]}"))
    else:
        torch.save(hostile, path, _use_new_zipfile_serialization=kind == "zip")
    assert list(read_state(path)) == ["proj"]
    assert not target.exists()


def archive_of(
    path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED
) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"archive/{name}", content)
    return path


class _Rebuilt:
    """Pickles like a tensor, with chosen sizes."""

    def __init__(self, key: str, elements: int, offset: int, shape: tuple, stride: tuple) -> None:
        self.arguments = (_Stored(key, elements), offset, shape, stride, False, OrderedDict())

    def __reduce__(self) -> tuple[object, ...]:
        return torch._utils._rebuild_tensor_v2, self.arguments


class _Stored:
    def __init__(self, key: str, elements: int) -> None:
        self.id = ("storage", torch.FloatStorage, key, "cpu", elements)


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: object) -> object:
        return obj.id if isinstance(obj, _Stored) else None


def pickled(structure: object) -> bytes:
    content = io.BytesIO()
    _Pickler(content, 2).dump(structure)
    return content.getvalue()


@pytest.mark.parametrize(
    ("elements", "offset", "shape", "stride"),
    [
        (10**12, 0, (2,), (1,)),  # a storage that is larger than its member
        (8, 7, (2,), (1,)),  # beyond the end
        (8, -1, (2,), (1,)),
        (8, 0, (2, 2), (-1, 1)),
        (8, 0, (10**12,), (0,)),  # one element many times
        (8, 0, (2, 2), (1,)),
        (8, 0, (3, 3), (3, 1)),
        (8, 0.5, (2,), (1,)),
        (-8, 0, (2,), (1,)),
    ],
)
def test_sizes_that_do_not_fit_are_refused(tmp_path: Path, elements, offset, shape, stride):
    content = pickled({"proj": _Rebuilt("0", elements, offset, shape, stride)})
    path = archive_of(tmp_path / "w.pth", {"data.pkl": content, "data/0": bytes(32)})
    with pytest.raises(TeacherError, match=r"not a readable weights file: .*storage 0"):
        read_state(path)


def test_sizes_that_fit_are_read(tmp_path: Path):
    content = pickled({"proj": _Rebuilt("0", 8, 1, (2, 3), (3, 1))})
    members = {"data.pkl": content, "data/0": np.arange(8, dtype=np.float32).tobytes()}
    loaded = read_state(archive_of(tmp_path / "w.pth", members))
    assert_same(loaded, {"proj": torch.arange(1.0, 7.0).reshape(2, 3)})


def test_a_compressed_archive_is_refused_before_it_is_unpacked(tmp_path: Path):
    content = pickled({"proj": _Rebuilt("0", 2**24, 0, (2**24,), (1,))})
    members = {"data.pkl": content, "data/0": bytes(2**26)}
    path = archive_of(tmp_path / "w.pth", members, zipfile.ZIP_DEFLATED)
    with pytest.raises(TeacherError, match="compressed"):
        read_state(path)


def test_members_that_overlap_are_refused(tmp_path: Path):
    state = {f"{i}": torch.ones(1000) for i in range(4)}
    torch.save(state, tmp_path / "w.pth")
    content = bytearray((tmp_path / "w.pth").read_bytes())
    start = content.index(np.ones(1000, np.float32).tobytes())
    whole = content[start : content.index(b"PK\x01\x02")]
    # The first member's entry in the directory: crc, stored size and size of all that follow it.
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(b"w/data/0"))
    struct.pack_into("<III", content, entry + 16, zlib.crc32(whole), len(whole), len(whole))
    (tmp_path / "w.pth").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "w.pth") as archive:
        assert archive.read("w/data/0") == whole
    with pytest.raises(TeacherError, match="its members are longer than the file"):
        read_state(tmp_path / "w.pth")


@pytest.mark.parametrize("kind", KINDS)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_is_refused_by_name(tmp_path_factory, kind: str, share: float):
    path = write(tmp_path_factory.mktemp("cut") / "weights.pth", kind)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(TeacherError, match="not a readable weights file") as caught:
        read_state(path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_a_changed_byte_is_harmless_or_a_clear_error(
    tmp_path_factory, kind: str, data: st.DataObject
):
    path = write(tmp_path_factory.mktemp("flip") / "weights.pth", kind)
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with suppress(TeacherError):  # and nothing else
        read_state(path)


def test_a_changed_tensor_of_an_archive_is_found(tmp_path: Path):
    torch.save(STATE, tmp_path / "w.pth")
    content = (tmp_path / "w.pth").read_bytes()
    numbers = STATE["visual.conv1.weight"].numpy().tobytes()
    assert content.count(numbers) == 1
    (tmp_path / "w.pth").write_bytes(content.replace(numbers, numbers[:-1] + b"\x42"))
    with pytest.raises(TeacherError, match="not a readable weights file"):
        read_state(tmp_path / "w.pth")


@given(content=st.binary(max_size=400))
def test_arbitrary_pickles_are_refused(tmp_path_factory, content: bytes):
    path = tmp_path_factory.mktemp("pickle") / "w.pth"
    for beginning in (b"", b"\x80\x02", b"\x80\x02l\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."):
        path.write_bytes(beginning + content)
        with pytest.raises(TeacherError, match="not a readable weights file"):
            read_state(path)


LFS = (
    b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d" * 32 + b"\nsize 346378731\n"
)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".pt"])
@pytest.mark.parametrize(
    ("content", "reason", "remedy"),
    [
        (LFS, "a Git LFS pointer", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>Not Found</html>", "a web page", "download the file directly"),
        (
            b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
            "a web page",
            "download",
        ),
        (b'{"error": "Entry not found"}', "text that begins with", "give a .safetensors file"),
        (b"", "the file is empty", "give a .safetensors file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(80), "an HDF5 file", "give a .safetensors file"),
        (bytes(range(200)), "an unknown format", "give a .safetensors file"),
        (
            pickle.dumps({"a": 1}),
            "a pickle that was not written by torch.save",
            "give a .safetensors file",
        ),
    ],
)
def test_files_without_weights_are_named(tmp_path: Path, content, reason, remedy, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(TeacherError, match=f"not a readable weights file: {reason}") as caught:
        read_state(path)
    assert remedy in (caught.value.remedy or "")
    assert "weights_only" not in str(caught.value)


def test_folders_pipes_and_archives_of_something_else_are_named(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    archive_of(tmp_path / "photos.pth", {"a.jpg": b"", "b.jpg": b""})
    for name, reason in {
        "": "this is a folder",
        "pipe": "this is not a regular file",
        "absent": "there is no such file",
        "photos.pth": "a zip archive without data.pkl, with archive/a.jpg, archive/b.jpg",
    }.items():
        with pytest.raises(TeacherError, match=reason):
            read_state(tmp_path / name)
