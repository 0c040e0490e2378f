"""Errors of the operating system with a remedy: a full disk, a limit, a missing permission, a name in use."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rsmtdf_core.errors import RsmtdfError, WriteError

_AGAIN = "then run the same command again"
_ACCESS = "give this user access, or use another path"
_REMEDIES = {
    errno.ENOSPC: "free space on the disk",
    errno.EDQUOT: "free space within your quota",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f)",
    errno.EROFS: "use a folder on a writable disk",
    errno.EACCES: _ACCESS,
    errno.EPERM: _ACCESS,
    errno.EIO: "free space on the disk, or check it",
    errno.EISDIR: "remove or rename the folder of that name",
    errno.EEXIST: "remove or rename the file of that name",
    errno.ENOTDIR: "remove or rename the file of that name",
    errno.ENAMETOOLONG: "use shorter names",
}
_ONLY_WRITING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
_LONGEST = 160  # characters of a path in a message


def remedy_of(number: int | None, again: str = _AGAIN) -> str | None:
    """Return the remedy of a system error, or None for an unknown error number.

    Args:
        number: `errno` of the system's error.
        again: the end of the sentence.
    """
    remedy = _REMEDIES.get(number or 0)
    return None if remedy is None else f"{remedy}, {again}"


def refusal(error: OSError) -> RsmtdfError:
    """Convert any system error to an error for users."""
    paths = [os.fsdecode(path) for path in (error.filename, error.filename2) if path is not None]
    shown = [f"{path[:120]}..." if len(path) > _LONGEST else path for path in paths]
    return RsmtdfError(
        f"the system reports: {error.strerror}",
        where=", ".join(shown) or None,
        remedy=remedy_of(error.errno) or "RSMTDF_DEBUG=1 shows the traceback",
    )


def write_error(error: OSError, path: Path | None, kind: str = "file") -> WriteError:
    """Convert a system error in writing `path` (of kind "file" or "folder") to an error with a remedy."""
    refused = WriteError(
        f"the {kind} cannot be written: {error.strerror}",
        where=path,
        remedy=remedy_of(error.errno) or f"use another {kind}",
    )
    refused.errno, refused.strerror = error.errno, error.strerror
    return refused


@contextmanager
def writing(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Raise system errors in writing `path` as errors with a remedy.

    An error about another file, such as one that is read, passes through unchanged.

    Args:
        path: the file or folder that is written.
        temporary: its name until it is complete.

    Raises:
        WriteError: If the disk is full, broken or read-only, a limit is reached, permission is missing, or the name
            is in use.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, RsmtdfError):
            raise
        name = None if error.filename is None else Path(os.fsdecode(error.filename))
        if name is not None and name in path.parents:
            raise write_error(error, name, "folder") from error
        if error.errno in _ONLY_WRITING or (name is not None and name in (path, temporary)):
            raise write_error(error, path) from error
        raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the file's name to system errors about a descriptor."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def require_no_folder(*paths: Path) -> None:
    """Refuse to write files at paths that are folders, before any work.

    Raises:
        WriteError: If one of the paths is a folder.
    """
    for path in paths:
        if path.is_dir():
            raise write_error(IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)), path)
