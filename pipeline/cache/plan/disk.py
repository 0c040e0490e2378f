"""Measure the cache's disk by writing and reading one temporary file."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from rsmtdf_core.errors import StoreError

_BLOCK = 8 * 2**20
FILE_BYTES = 256 * 2**20
WRITE_SECONDS = 2.0
READ_SECONDS = 0.7


class Disk:
    """A temporary file on the cache's disk; `open_disk` creates and removes it.

    Attributes:
        write_bandwidth: of writing and syncing the file, bytes per second.
        cold: whether the file can be evicted from the page cache; valid after the first read.
    """

    def __init__(self, file: int, limit: int) -> None:
        self._file = file
        # Random bytes, since some file systems compress.
        block = np.random.default_rng(0).bytes(_BLOCK)
        began, self._size = time.perf_counter(), 0
        while self._size < limit and time.perf_counter() - began < WRITE_SECONDS:
            self._size += os.write(self._file, block[: limit - self._size])
        os.fsync(self._file)
        self.write_bandwidth = self._size / (time.perf_counter() - began)
        self.cold = True

    def read_bandwidth(self, record: int, batch: int) -> float:
        """Return the bandwidth of reading random records, prefetched batch by batch, in bytes per second.

        Args:
            record: size of a record in bytes.
            batch: records per step.
        """
        record = max(1, min(record, self._size))
        offsets = np.random.default_rng(record).permutation(self._size // record) * record
        self._forget()
        buffer = memoryview(bytearray(record))
        began, done = time.perf_counter(), 0
        for start in range(0, len(offsets), batch):
            part = offsets[start : start + batch].tolist()
            for offset in part:
                self._advise(offset, record, "POSIX_FADV_WILLNEED")
            for offset in part:
                done += os.preadv(self._file, [buffer], offset)
            if time.perf_counter() - began > READ_SECONDS:
                break
        return done / (time.perf_counter() - began)

    def _forget(self) -> None:
        """Evict the file from the page cache and check that it is gone."""
        self._advise(0, 0, "POSIX_FADV_DONTNEED")
        self._advise(0, 0, "POSIX_FADV_RANDOM")
        self.cold = self.cold and not self._cached()

    def _advise(self, offset: int, count: int, advice: str) -> None:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file, offset, count, getattr(os, advice))

    def _cached(self) -> bool:
        """Return whether the middle of the file is in memory, or whether this is unknown."""
        try:
            os.preadv(self._file, [bytearray(1)], self._size // 2, os.RWF_NOWAIT)
        except BlockingIOError:
            return False
        except (AttributeError, OSError):
            return True
        return True


@contextmanager
def open_disk(folder: Path, free: int) -> Iterator[Disk]:
    """Measure the disk of an existing folder.

    Args:
        folder: folder for the temporary file.
        free: free bytes on the disk; at most a quarter is used.

    Raises:
        StoreError: If the folder cannot be written to.
    """
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=".rsmtdf-plan-") as file:
            yield Disk(file.fileno(), max(1, min(FILE_BYTES, free // 4)))
    except OSError as failure:
        raise StoreError(
            f"the cache's disk cannot be measured: {failure.strerror}",
            where=folder,
            remedy="make the folder writable, or set runtime.cache to another",
        ) from failure


def existing_folder(path: Path) -> Path:
    """Return the folder or its nearest existing parent, which is on the same disk."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())
