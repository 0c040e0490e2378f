"""Locks for one writer at a time; a lock ends with the process that holds it."""

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rsmtdf_core.cache_names import repair_command
from rsmtdf_core.errors import StoreDamagedError, StoreError

LOCK = ".lock"
_NOT_A_FILE = (errno.ELOOP, errno.EISDIR, errno.ENXIO)
# A process forked from the holder, such as a loader's worker, must not keep the lock if the holder is killed.
_held: set[int] = set()


def _close_in_child() -> None:
    for handle in _held:
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)


@contextmanager
def locked(folder: Path, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Lock `folder` for writing; if it is locked, call `on_wait` and wait.

    Raises:
        StoreDamagedError: If the lock is not a regular file.
        StoreError: If the folder was deleted during the wait.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(folder / LOCK, flags, 0o644)
    except OSError as wrong:
        if wrong.errno not in _NOT_A_FILE:
            raise
        raise _no_lock(folder) from None
    _held.add(handle)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise _no_lock(folder)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_wait is not None:
                on_wait()
            fcntl.flock(handle, fcntl.LOCK_EX)
        _require_same(folder, handle)
        yield
    finally:
        _close(handle)


def _close(handle: int) -> None:
    if handle in _held:
        _held.remove(handle)
        os.close(handle)


def _no_lock(folder: Path) -> StoreDamagedError:
    return StoreDamagedError(
        "the lock is not a regular file", where=folder / LOCK, remedy=repair_command(folder)
    )


def _require_same(folder: Path, handle: int) -> None:
    try:
        same = os.path.samestat((folder / LOCK).stat(), os.fstat(handle))
    except FileNotFoundError:
        same = False
    if not same:
        raise StoreError(
            "the folder was deleted during the wait", where=folder, remedy="run the command again"
        )


def is_locked(folder: Path) -> bool:
    """Return whether a process has locked `folder` for writing, without writing."""
    try:
        handle = os.open(folder / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


@contextmanager
def reading(folders: Iterable[Path]) -> Iterator[None]:
    """Protect stores from repair while their records are read, without writing.

    The lock is shared and is on the folders themselves, so readers need no write permission. A file system
    without such locks gives no protection.

    Raises:
        StoreError: If a store is being repaired.
    """
    yield from _folders_locked(
        folders, fcntl.LOCK_SH, "the store is being repaired", "wait until the repair ends"
    )


@contextmanager
def unread(folders: Iterable[Path]) -> Iterator[None]:
    """Lock stores against readers.

    Raises:
        StoreError: If a training reads one of the stores.
    """
    yield from _folders_locked(
        folders, fcntl.LOCK_EX, "a training reads this store", "wait until it ends, or stop it"
    )


def _folders_locked(folders: Iterable[Path], kind: int, busy: str, remedy: str) -> Iterator[None]:
    with ExitStack() as handles:
        for folder in folders:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            _held.add(handle)
            handles.callback(_close, handle)
            try:
                fcntl.flock(handle, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreError(busy, where=folder, remedy=remedy) from None
            except OSError:  # the file system cannot lock folders
                continue
        yield
