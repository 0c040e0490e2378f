"""Weights files of every format, recognized by their content: safetensors, `torch.save` and TorchScript.

Files come from the internet. Their code is never executed and the sizes that they state are never trusted. In a
zip archive, only members that are stored uncompressed within the file's length are read.
"""

import mmap
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from rsmtdf_core.errors import RsmtdfError, TeacherError
from rsmtdf_core.weights.keys import require_text
from rsmtdf_core.weights.pickles import Storage, StoredTensor, Unpickler

_EXPECTED = (
    "give a .safetensors file, a checkpoint of torch.save or a TorchScript archive; "
    "download it again if it may be truncated"
)
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # written by `torch.save` before PyTorch 1.6
_HEAD_BYTES = 256
_FOREIGN = {  # first bytes of files that are often mistaken for weights
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip archive: unpack it first",
    b"\x93NUMPY": "a NumPy array",
    b"BZh": "a bzip2 archive: unpack it first",
    b"7z\xbc\xaf": "a 7z archive: unpack it first",
    b"%PDF": "a PDF",
    b"\x89PNG": "a PNG image",
}


_MARKUP = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")


class Weights(Protocol):
    """An open weights file.

    Attributes:
        structure: the containers of the file, with `Tensor` or `StoredTensor` leaves.
    """

    structure: object

    def storage(self, storage: Storage) -> bytes:
        """Return the bytes of a storage."""


class _Safetensors:
    def __init__(self, path: Path) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            self.structure: object = load_file(path)
        except SafetensorError as damage:
            raise ValueError(str(damage)) from damage

    def storage(self, storage: Storage) -> bytes:
        """Never called: the constructor loads every tensor."""
        raise AssertionError(storage)


class _Zip:
    """An archive of `torch.save` or TorchScript: a pickle and a member for each storage."""

    def __init__(self, archive: zipfile.ZipFile, length: int) -> None:
        self._archive = archive
        members = archive.infolist()
        if sum(member.compress_size for member in members) > length:
            raise ValueError("its members are longer than the file")
        self._members = {member.filename: member for member in members}
        if len(self._members) < len(members):
            raise ValueError("two of its members have the same name")
        pickles = [
            name for name in self._members if name.count("/") == 1 and name.endswith("/data.pkl")
        ]
        if len(pickles) != 1:
            raise ValueError(f"a zip archive without data.pkl, with {_some(list(self._members))}")
        self._folder = pickles[0].removesuffix("data.pkl")
        if f"{self._folder}byteorder" in self._members and self._read("byteorder") != b"little":
            raise ValueError("its numbers are big-endian")
        with archive.open(self._stored("data.pkl")) as file:
            unpickler = Unpickler(file)
            self.structure: object = unpickler.load()
        for storage in unpickler.storages.values():
            self._require_size(storage)

    def storage(self, storage: Storage) -> bytes:
        """Return the bytes of a storage, verified against the archive's checksum."""
        return self._read(f"data/{storage.key}")

    def _read(self, name: str) -> bytes:
        return self._archive.read(self._stored(name))

    def _stored(self, name: str) -> zipfile.ZipInfo:
        member = self._members.get(self._folder + name)
        if member is None:
            raise ValueError(f"{name} is missing")
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise ValueError(f"{name} is compressed")
        return member

    def _require_size(self, storage: Storage) -> None:
        size = self._stored(f"data/{storage.key}").file_size
        if size < storage.bytes:
            raise ValueError(f"storage {storage.key}: expected {storage.bytes} bytes, found {size}")


class _Legacy:
    """A file of `torch.save` before PyTorch 1.6: pickles followed by all storages."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content = content
        if Unpickler(content).load() != _MAGIC or Unpickler(content).load() != _PROTOCOL:
            raise ValueError("a pickle that was not written by torch.save")
        system = Unpickler(content).load()
        if isinstance(system, dict) and system.get("little_endian") is False:
            raise ValueError("its numbers are big-endian")
        unpickler = Unpickler(content)
        self.structure: object = unpickler.load()
        self._starts: dict[str, int] = {}
        for key in Unpickler(content).load():
            require_text(key)
            self._starts[key] = self._skip(unpickler.storages[key])
        if missing := unpickler.storages.keys() - self._starts.keys():
            raise ValueError(f"storage {min(missing)} is missing")

    def storage(self, storage: Storage) -> bytes:
        """Return the bytes of a storage."""
        start = self._starts[storage.key]
        return self._content[start : start + storage.bytes]

    def _skip(self, storage: Storage) -> int:
        """Skip the storage at the current position and return the offset of its first byte."""
        (elements,) = struct.unpack("<q", self._content.read(8))
        start = self._content.tell()
        if elements != storage.elements or start + storage.bytes > len(self._content):
            raise ValueError(f"storage {storage.key} is truncated")
        self._content.seek(start + storage.bytes)
        return start


@contextmanager
def open_weights(path: Path) -> Iterator[Weights]:
    """Open a weights file.

    An error inside the context becomes a `TeacherError` that names the file.

    Raises:
        TeacherError: If the file is damaged or not a weights file.
    """
    head = require_weights(path)
    try:
        with _opened(path, head) as weights:
            yield weights
    except RsmtdfError:
        raise
    # Unpickling a damaged or hostile file can raise any exception.
    except Exception as damage:
        reason = (str(damage) or type(damage).__name__).splitlines()[0]
        raise _unreadable(path, reason) from damage


@contextmanager
def _opened(path: Path, head: bytes) -> Iterator[Weights]:
    if head.startswith(b"PK"):
        with zipfile.ZipFile(path) as archive:
            yield _Zip(archive, path.stat().st_size)
    elif head.startswith(b"\x80"):
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            yield _Legacy(content)
    else:
        yield _Safetensors(path)


def read_tensor(weights: Weights, tensor: StoredTensor | Tensor) -> Tensor:
    """Read a tensor of an open weights file to the CPU, in the file's dtype."""
    if isinstance(tensor, Tensor):
        return tensor
    if 0 in tensor.shape:
        return torch.empty(tensor.shape, dtype=tensor.dtype)
    content = weights.storage(tensor.storage)[: tensor.storage.bytes]
    whole = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    whole = whole[: len(whole) // tensor.dtype.itemsize * tensor.dtype.itemsize].view(tensor.dtype)
    return whole.as_strided(tensor.shape, tensor.stride, tensor.offset)


def require_weights(path: Path) -> bytes:
    """Return the first bytes of a weights file, and refuse other kinds of files.

    Raises:
        TeacherError: If the file does not exist, or is a Git LFS pointer, a web page or of another format.
    """
    if not path.is_file():
        raise _unreadable(path, _no_file(path))
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as failure:
        raise _unreadable(path, failure.strerror or str(failure)) from None
    if head.startswith(b"version https://git-lfs"):
        raise _unreadable(
            path,
            "a Git LFS pointer; the weights were not downloaded",
            "run `git lfs pull` in the repository of the file, or download the file directly",
        )
    if head.lstrip().lower().startswith(_MARKUP):
        raise _unreadable(
            path,
            "a web page, not weights",
            "download the file directly: the address led to a page about it, or to an error page",
        )
    if reason := _foreign(head):
        raise _unreadable(path, reason)
    return head


def _no_file(path: Path) -> str:
    if path.is_dir():
        return "this is a folder"
    return "this is not a regular file" if path.exists() else "there is no such file"


def _foreign(head: bytes) -> str | None:
    """Describe a file of another kind by its first bytes; None if they may belong to weights."""
    if not head:
        return "the file is empty"
    for beginning, kind in _FOREIGN.items():
        if head.startswith(beginning):
            return kind
    if head.startswith((b"PK", b"\x80")) or head[8:9] == b"{":
        return None
    is_text = all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head)
    kind = "text that begins with" if is_text else "an unknown format that begins with"
    return f"{kind} {head[:24]!r}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _unreadable(path: Path, reason: str, remedy: str = _EXPECTED) -> TeacherError:
    return TeacherError(f"not a readable weights file: {reason}", where=path, remedy=remedy)
