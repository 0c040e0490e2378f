"""The system's refusals as errors with a remedy: a full disk, a limit, a missing permission, a folder in the way."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rsmtdf_core.errors import RsmtdfError, WriteError

_AGAIN = "then run the same command again"
_ACCESS = "give this user access to it, or name another one"
_REMEDIES = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room within your quota",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f)",
    errno.EROFS: "name a folder on a disk that is mounted for writing",
    errno.EACCES: _ACCESS,
    errno.EPERM: _ACCESS,
    errno.EIO: "make room on the disk, or check it",
    errno.EISDIR: "remove or rename the folder of that name",
    errno.EEXIST: "remove or rename the file of that name",
    errno.ENOTDIR: "remove or rename the file of that name",
    errno.ENAMETOOLONG: "use shorter names",
}
_ONLY_WRITING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
_LONGEST = 160  # characters of a path in a message


def remedy_of(number: int | None, again: str = _AGAIN) -> str | None:
    """How a user removes the reason of a refusal, and goes on; None if nothing is known of the reason.

    Args:
        number: `errno` of the system's error.
        again: the end of the sentence.
    """
    cure = _REMEDIES.get(number or 0)
    return None if cure is None else f"{cure}, {again}"


def refusal(error: OSError) -> RsmtdfError:
    """Any of the system's errors in the form of all errors."""
    paths = [os.fsdecode(path) for path in (error.filename, error.filename2) if path is not None]
    shown = [f"{path[:120]}..." if len(path) > _LONGEST else path for path in paths]
    return RsmtdfError(
        f"the system refuses: {error.strerror}",
        where=", ".join(shown) or None,
        remedy=remedy_of(error.errno) or "RSMTDF_DEBUG=1 shows where that happened",
    )


def write_error(error: OSError, path: Path | None, kind: str = "file") -> WriteError:
    """The system's refusal to write `path`, a "file" or "folder", as an error with a remedy."""
    refused = WriteError(
        f"the {kind} cannot be written: {error.strerror}",
        where=path,
        remedy=remedy_of(error.errno) or f"name another {kind}",
    )
    refused.errno, refused.strerror = error.errno, error.strerror
    return refused


@contextmanager
def writing(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Raise the system's refusal to write `path` as an error with a remedy.

    An error about another file, one that is read meanwhile, passes through unchanged.

    Args:
        path: the file or folder that is written.
        temporary: its name until it is complete.

    Raises:
        WriteError: the disk is full, broken or read-only, a limit is reached, permission is missing, or something
            else has that name.
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
    """Name the file in the system's errors about a descriptor, which name none."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def require_no_folder(*paths: Path) -> None:
    """Refuse files to be written in whose place there is a folder, before any work.

    Raises:
        WriteError: for the first of them.
    """
    for path in paths:
        if path.is_dir():
            raise write_error(IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)), path)
