"""Atomic files: written under a temporary name in the same folder, synced, then renamed."""

import errno
import io
import json
import os
import platform
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rsmtdf_core.errors import RsmtdfError
from rsmtdf_core.refusals import naming, require_no_folder, write_error, writing

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# A rotation of 4096 channels is 64 MiB; without a limit, a malicious file could exhaust the memory.
_MOST_BYTES = 2**28
_CHUNK = 8 * 2**20
PROBE = "writable"
"""Name of the file that a check of a folder creates, before its `.tmp-` suffix."""
_TEMPORARY = re.compile(
    r".+\.tmp-(?P<machine>[0-9a-f]{12})(?P<process>[0-9a-f]{8})[0-9a-f]{12}", re.DOTALL
)


@contextmanager
def atomic_path(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """Yield the name of a file to write, which becomes `path` only if the block ends without an error.

    The temporary name is that of `temporary_path`. The caller syncs the file, and this function its folder,
    unless `sync` leaves both to `sync_files`. After an error, the temporary file is removed and the error is
    raised. The first write of a process to a folder removes the temporary files of killed processes.

    Raises:
        WriteError: If the system refuses to write the file or to create its folder, or `path` is a folder.
    """
    temporary = temporary_path(path)
    with writing(path, temporary):
        require_no_folder(path)
        _make_folder(path.parent)
        _tidy(path.parent)
        try:
            yield temporary
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):  # a full or failing disk may refuse this too
                temporary.unlink(missing_ok=True)
            raise
        if sync:
            sync_folder(path.parent)


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Yield a binary file that becomes `path` as in `atomic_path`; it is synced before the rename."""
    with (
        atomic_path(path) as temporary,
        temporary.open("wb", buffering=0) as raw,
        _NamedWriter(raw, temporary) as file,
    ):
        yield file
        file.flush()
        _sync(file.fileno(), temporary)


class _NamedWriter(io.BufferedWriter):
    """A binary file whose errors include its name, like those of opening a file."""

    def __init__(self, raw: io.RawIOBase, path: Path) -> None:
        super().__init__(raw)
        self._path = path

    def write(self, data: "ReadableBuffer", /) -> int:
        with naming(self._path):
            return super().write(data)

    def flush(self) -> None:
        with naming(self._path):
            super().flush()


def temporary_path(path: Path) -> Path:
    """Return a temporary name in the folder of `path` for a file that later becomes `path`.

    It ends in `.tmp-` and 32 hex digits: the machine, the process, and a random number for each call.
    """
    return path.with_name(f"{path.name}.tmp-{_machine()}{os.getpid():08x}{secrets.token_hex(6)}")


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files in `folder` of killed processes of this machine."""
    for path in folder.iterdir() if folder.is_dir() else ():
        name = _TEMPORARY.fullmatch(path.name)
        if name and name["machine"] == _machine() and not _is_alive(int(name["process"], 16)):
            with suppress(OSError):  # another process has just removed it, or owns it
                shutil.rmtree(path) if path.is_dir() else path.unlink()


@lru_cache(maxsize=1024)
def _tidy(folder: Path) -> None:
    """Remove leftovers once per process: listing the folder for each of its files would take too long."""
    with suppress(OSError):  # a writable folder may not be listable
        remove_leftovers(folder)


@cache
def _machine() -> str:
    """Return an id of this machine and its process namespace, because process ids are unique only there."""
    facts = [platform.node()]
    with suppress(OSError):
        facts.append(Path("/etc/machine-id").read_text())
    with suppress(OSError):
        facts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return sha256("\n".join(facts).encode()).hexdigest()[:12]


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's process
        return True
    return True


def make_folder(folder: Path, error: type[RsmtdfError], remedy: str) -> None:
    """Create a folder and its parents, before any work; see `require_writable_folder` for an existing one.

    Raises:
        RsmtdfError: Of type `error`, if a file has this name or the system refuses to create the folder.
    """
    try:
        _make_folder(folder)
    except OSError as wrong:
        raise error(
            f"the folder cannot be written: {wrong.strerror}", where=folder, remedy=remedy
        ) from None


def require_writable(*files: Path) -> None:
    """Check before any work that files can be written at these paths; create no folder.

    Raises:
        WriteError: If one of the paths is a folder, or the system refuses a new file there.
    """
    require_no_folder(*files)
    for folder in dict.fromkeys(path.parent for path in files):
        require_writable_folder(folder)


def require_writable_folder(folder: Path) -> None:
    """Check before any work that a folder accepts new files; if it is missing, the nearest folder above it must.

    The check creates a file and removes it, because permission bits say little about network disks and root.

    Raises:
        WriteError: If the path or one above it is a file, or the system refuses a new file.
    """
    nearest = folder.absolute()
    while not os.path.lexists(nearest):
        nearest = nearest.parent
    try:
        _try_writing(nearest)
    except OSError as refused:
        raise write_error(refused, nearest, "folder") from None


def _try_writing(folder: Path) -> None:
    """Create an empty file in the folder and remove it."""
    path = temporary_path(folder / PROBE)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC))
    path.unlink()


def _make_folder(folder: Path) -> None:
    """Create a folder and its parents so that they survive a power cut."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def copy_file(source: Path, target: Path) -> None:
    """Copy the bytes of a file atomically and sync the copy.

    Raises:
        WriteError: If the system refuses to write the copy.
        OSError: If the system refuses to read `source`.
    """
    with source.open("rb") as file, atomic_file(target) as copy:
        shutil.copyfileobj(file, copy, _CHUNK)


def sync_files(paths: Iterable[Path]) -> None:
    """Sync files and their folders, so that they survive a power cut; faster for many files at once."""
    folders = set()
    for path in paths:
        sync_file(path)
        folders.add(path.parent)
    for folder in folders:
        sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that its renames survive a power cut."""
    sync_file(folder)


def sync_file(path: Path) -> None:
    """Sync a file, so that its content survives a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        _sync(handle, path)
    finally:
        os.close(handle)


def _sync(handle: int, path: Path) -> None:
    with naming(path):
        os.fsync(handle)


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON atomically."""
    with atomic_file(path) as file:
        file.write(json_bytes(value))


def json_bytes(value: object) -> bytes:
    """Return the bytes that `write_json` writes."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False).encode() + b"\n"


def read_json(path: Path, error: type[RsmtdfError]) -> dict[str, Any]:
    """Read a JSON object that `write_json` wrote.

    Raises:
        RsmtdfError: Of type `error`, if the file is missing, a link, too large, not JSON, not an
            object or cut off.
    """
    content = read_file(path, error)
    if not content.endswith(b"}\n"):
        raise error("the file is not JSON: its end is missing", where=path)
    try:
        value = json.loads(content, parse_float=_number)
    except (ValueError, RecursionError) as damage:
        raise error(f"the file is not JSON: {damage}", where=path) from None
    if not isinstance(value, dict):
        raise error(f"expected a JSON object, found {type(value).__name__}", where=path)
    return value


def read_file(path: Path, error: type[RsmtdfError]) -> bytes:
    """Read all bytes of a small file.

    Raises:
        RsmtdfError: Of type `error`, if the file is missing, larger than 256 MiB or not a regular
            file: a link may lead out of the folder, and a pipe would never end.
        OSError: If the system refuses to read it.
    """
    try:
        handle = open_regular(path)
    except FileNotFoundError:
        raise error("the file is missing", where=path) from None
    except ValueError as wrong:
        raise error(str(wrong), where=path) from None
    with os.fdopen(handle, "rb") as file:
        size = os.fstat(handle).st_size
        if size > _MOST_BYTES:
            raise error(f"the file is too large: {size} bytes", where=path)
        return file.read()


def open_regular(path: Path) -> int:
    """Open a regular file for reading and return its descriptor; never follow a link or wait for a pipe.

    Raises:
        ValueError: If the path is not a regular file.
        OSError: If the file is missing or the system refuses to read it.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as wrong:
        if wrong.errno != errno.ELOOP:
            raise
        raise ValueError("this is a symbolic link, not a file") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ValueError("this is not a regular file")
    return handle


def _number(text: str) -> float:
    """Parse a number as `write_json` formats it: a flipped bit may change only the case of a letter."""
    if "E" in text:
        raise ValueError(f"the number {text} was changed")
    return float(text)
