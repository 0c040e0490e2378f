"""The lock of a run: only one process at a time may train it."""

import errno
import os
import shlex
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rsmtdf_core.errors import RunError, StoreDamagedError
from rsmtdf_core.files import make_folder
from rsmtdf_core.refusals import remedy_of
from rsmtdf_core.store.locks import LOCK, locked

# Errors of file systems without locks.
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


@contextmanager
def hold_run(folder: Path, warn: Callable[[str], None]) -> Iterator[None]:
    """Lock a run's folder for writing, and create it if missing.

    The system releases the lock when the process ends for any reason.

    Args:
        folder: the run's folder.
        warn: called with a sentence if the file system has no locks; the run is then not locked.

    Raises:
        RunError: If another process holds the lock, or it cannot be created.
    """
    make_folder(folder, RunError, "choose another folder with --run")

    def refuse() -> None:
        raise RunError(
            f"{_holder(folder)} is training this run",
            where=folder,
            remedy="wait until it has ended, or choose another folder with --run",
        )

    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder, refuse))
            holder = f"process {os.getpid()} on {socket.gethostname()}\n"
            (folder / LOCK).write_bytes(holder.encode())
        except StoreDamagedError as damage:
            raise RunError(damage.what, where=folder / LOCK, remedy=_delete(folder)) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise RunError(
                    f"the run cannot be locked: {error.strerror}",
                    where=folder / LOCK,
                    remedy=remedy_of(error.errno) or _delete(folder),
                ) from None
            warn(
                f"the file system of {folder} has no locks: make sure that no other process trains "
                "this run"
            )
        yield


def _delete(folder: Path) -> str:
    return f"rm -r {shlex.quote(str(folder / LOCK))}"


def _holder(folder: Path) -> str:
    """Return the description of the process that holds the lock, from the file."""
    try:
        return (folder / LOCK).read_text().strip() or "another process"
    except (OSError, UnicodeDecodeError):
        return "another process"
