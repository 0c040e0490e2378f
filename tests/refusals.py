"""Disks that refuse writes, and folders that block the paths of files, for any command."""

import errno
import os
import re
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rsmtdf_core.errors import RsmtdfError
from rsmtdf_core.refusals import refusal

CHANGES = ("open", "write", "sync", "rename", "mkdir")


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def masked(path: str) -> str:
    """A path without the parts that differ between runs of a command."""
    path = re.sub(r"\.tmp-[0-9a-f]{32}", ".tmp", path)
    return re.sub(r"tfevents\..*", "tfevents", path)


def refusing(op: str, path: str, number: int, thrown: list[str]) -> Callable[..., Any]:
    """A hook for `tapped`: the first such operation on the path fails, on a full disk all later writes too."""

    def hook(now: str, name: str, act: Callable[[], Any], half: Callable[[], Any]) -> object:
        first = not thrown and now == op and masked(name) == path
        if first or (thrown and number == errno.ENOSPC and now in ("open", "write", "mkdir")):
            thrown.append(now)
            if now == "write":
                half()
            # As the system: an error about a descriptor has no name.
            raise OSError(
                number, os.strerror(number), *([] if now in ("write", "sync") else [name])
            )
        return act()

    return hook


def sentence(error: BaseException) -> RsmtdfError:
    """The error as a user sees it: one sentence with the path and the remedy."""
    if not isinstance(error, RsmtdfError):
        assert isinstance(error, OSError), repr(error)
        assert error.errno is not None, repr(error)
        error = refusal(error)
    assert "\n" not in error.what
    assert error.where, error.what
    assert error.remedy, error.what
    return error


def files(folder: Path) -> dict[str, bytes]:
    """Each file below, locks left out."""
    return {
        masked(str(path.relative_to(folder))): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def block(path: Path) -> None:
    """Block the path of a file by a folder that contains a file."""
    path.mkdir(parents=True)
    (path / "note.txt").write_bytes(b"a user's")
