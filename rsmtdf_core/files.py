"""Files that are either whole or absent: written beside their place, synced, then renamed."""

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from rsmtdf_core.errors import RsmtdfError


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Yield a binary file that becomes `path` only if the block ends without an error.

    The temporary name ends in `.tmp-<32 hex digits>`, another for each call on any thread or machine that
    shares the folder. The file and its folder are synced before the rename is reported. Where
    something fails, the temporary file is removed and that first error is raised.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp-{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):  # a full or failing disk may refuse this too
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_file(path) as file:
        file.write(json.dumps(value, indent=2, sort_keys=True, allow_nan=False).encode() + b"\n")


def read_json(path: Path, error: type[RsmtdfError]) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        RsmtdfError: of the type given, where the file is missing, not JSON or not an object.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise error("the file is missing", where=path) from None
    except ValueError as damage:
        raise error(f"the file is not JSON: {damage}", where=path) from None
    if not isinstance(value, dict):
        raise error(f"expected a JSON object, found {type(value).__name__}", where=path)
    return value
