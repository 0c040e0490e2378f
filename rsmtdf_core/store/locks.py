"""One writer at a time: a lock that is gone with the process that holds it."""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rsmtdf_core.errors import StoreError

LOCK = ".lock"
# A process forked from the holder, such as a loader's, must not keep the lock when the holder is killed.
_held: set[int] = set()


def _close_in_child() -> None:
    for handle in _held:
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)


@contextmanager
def locked(folder: Path, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold `folder` for writing; waits for whoever holds it, after a call of `on_wait`.

    Raises:
        StoreError: where the folder was deleted while this waited, or its lock is a symbolic link.
    """
    try:
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError as wrong:
        if wrong.errno != errno.ELOOP:
            raise
        raise StoreError("the lock is a symbolic link", where=folder / LOCK) from None
    _held.add(handle)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_wait is not None:
                on_wait()
            fcntl.flock(handle, fcntl.LOCK_EX)
        _require_same(folder, handle)
        yield
    finally:
        if handle in _held:
            _held.remove(handle)
            os.close(handle)


def _require_same(folder: Path, handle: int) -> None:
    try:
        same = os.path.samestat((folder / LOCK).stat(), os.fstat(handle))
    except FileNotFoundError:
        same = False
    if not same:
        raise StoreError(
            "the folder was deleted meanwhile", where=folder, remedy="run the command again"
        )


def is_locked(folder: Path) -> bool:
    """Whether somebody holds `folder` for writing; nothing is written."""
    try:
        handle = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
