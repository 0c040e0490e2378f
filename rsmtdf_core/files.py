"""Files that are either whole or absent: written beside their place, synced, then renamed."""

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
from rsmtdf_core.refusals import naming, require_no_folder, writing

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# A rotation of 4096 channels is 64 MiB; a file that lies could make a process allocate any size.
_MOST_BYTES = 2**28
_CHUNK = 8 * 2**20
_TEMPORARY = re.compile(
    r".+\.tmp-(?P<machine>[0-9a-f]{12})(?P<process>[0-9a-f]{8})[0-9a-f]{12}", re.DOTALL
)


@contextmanager
def atomic_path(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """Yield the name of a file to write, which becomes `path` only if the block ends without an error.

    The temporary name is that of `temporary_path`. Whoever writes the file syncs it; its folder is synced here,
    unless `sync` leaves both to `sync_files`. Where something fails, the temporary file is removed and that
    first error is raised. The first file that a process writes into a folder removes what killed ones left there.

    Raises:
        WriteError: the system refuses to write the file or to make its folder, or there is a folder in its place.
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
    """Yield a binary file that becomes `path` as `atomic_path` says; it is synced before the rename."""
    with (
        atomic_path(path) as temporary,
        temporary.open("wb", buffering=0) as raw,
        _NamedWriter(raw, temporary) as file,
    ):
        yield file
        file.flush()
        _sync(file.fileno(), temporary)


class _NamedWriter(io.BufferedWriter):
    """A binary file whose errors name it, as the system's do when it is opened."""

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
    """A name beside `path` for what becomes `path` once it is complete.

    It ends in `.tmp-` and 32 hex digits: the machine, the process, and a random number for each call.
    """
    return path.with_name(f"{path.name}.tmp-{_machine()}{os.getpid():08x}{secrets.token_hex(6)}")


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes of this machine left under temporary names in `folder`."""
    for path in folder.iterdir() if folder.is_dir() else ():
        name = _TEMPORARY.fullmatch(path.name)
        if name and name["machine"] == _machine() and not _is_alive(int(name["process"], 16)):
            with suppress(OSError):  # another process has just removed it, or owns it
                shutil.rmtree(path) if path.is_dir() else path.unlink()


@lru_cache(maxsize=1024)
def _tidy(folder: Path) -> None:
    """Remove leftovers once in a process: listing a folder for each of its files would take too long."""
    with suppress(OSError):  # a folder may be writable and not listable
        remove_leftovers(folder)


@cache
def _machine() -> str:
    """What tells this machine from others that share a file system: process ids are of its name space alone."""
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
    except OSError:  # of another user
        return True
    return True


def make_folder(folder: Path, error: type[RsmtdfError], remedy: str) -> None:
    """Make a folder that is to be written to, and those above it, before any work.

    Raises:
        RsmtdfError: of the type given, where it cannot be made: a file is in its place, or the system forbids it.
    """
    try:
        _make_folder(folder)
    except OSError as wrong:
        raise error(
            f"the folder cannot be written: {wrong.strerror}", where=folder, remedy=remedy
        ) from None


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, each so that it survives a power cut."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def copy_file(source: Path, target: Path) -> None:
    """Copy the bytes of a file; the copy is complete or absent, and synced.

    Raises:
        WriteError: the system refuses to write it.
        OSError: the system refuses to read `source`.
    """
    with source.open("rb") as file, atomic_file(target) as copy:
        shutil.copyfileobj(file, copy, _CHUNK)


def sync_files(paths: Iterable[Path]) -> None:
    """Make files, and the renames that made them, survive a power cut: many at once take less time than one by one."""
    folders = set()
    for path in paths:
        sync_file(path)
        folders.add(path.parent)
    for folder in folders:
        sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut."""
    sync_file(folder)


def sync_file(path: Path) -> None:
    """Make what was written to a file survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        _sync(handle, path)
    finally:
        os.close(handle)


def _sync(handle: int, path: Path) -> None:
    with naming(path):
        os.fsync(handle)


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_file(path) as file:
        file.write(json_bytes(value))


def json_bytes(value: object) -> bytes:
    """The bytes that `write_json` writes."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False).encode() + b"\n"


def read_json(path: Path, error: type[RsmtdfError]) -> dict[str, Any]:
    """Read a JSON object that `write_json` wrote.

    Raises:
        RsmtdfError: of the type given, where the file is missing, a link, too large, not JSON, not an
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
    """All bytes of a small file.

    Raises:
        RsmtdfError: of the type given, where the file is missing, larger than 256 MiB or not a regular
            one: a link may lead out of the folder, and a pipe would never end.
        OSError: If the system does not let it be read.
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
            raise error(f"{size} bytes are too many for this file", where=path)
        return file.read()


def open_regular(path: Path) -> int:
    """A descriptor for reading a regular file; never follows a link or waits for a pipe's writer.

    Raises:
        ValueError: If it is something else.
        OSError: If it is missing or the system does not let it be read.
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
    """A number as `write_json` spells it: a changed bit may leave the value and change the letter."""
    if "E" in text:
        raise ValueError(f"{text} is not spelled as it was written")
    return float(text)
