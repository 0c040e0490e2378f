"""Files that are either whole or absent: written beside their place, synced, then renamed."""

import errno
import json
import os
import stat
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from rsmtdf_core.errors import RsmtdfError

# A rotation of 4096 channels is 64 MiB; a file that lies could make a process allocate any size.
_MOST_BYTES = 2**28


@contextmanager
def atomic_path(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """Yield the name of a file to write, which becomes `path` only if the block ends without an error.

    The temporary name ends in `.tmp-<32 hex digits>`, another for each call on any thread or machine that
    shares the folder. Whoever writes the file syncs it; its folder is synced here, unless `sync` leaves both to
    `sync_files`. Where something fails, the temporary file is removed and that first error is raised.
    """
    _make_folder(path.parent)
    temporary = path.with_name(f"{path.name}.tmp-{uuid.uuid4().hex}")
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
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


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
        os.fsync(handle)
    finally:
        os.close(handle)


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
        OSError: where the system does not let it be read.
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
        ValueError: where it is something else.
        OSError: where it is missing or the system does not let it be read.
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
