"""How fast the cache's disk is, found by writing and reading one temporary file there."""

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
    """A temporary file on the cache's disk; `open_disk` makes one and removes it.

    Attributes:
        write_bandwidth: at which the file was written and synced, bytes a second.
        cold: whether the file can be put out of the page cache; known after the first reading.
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
        """Bytes a second of random records of that size, asked for ahead a batch at a time.

        Args:
            record: bytes.
            batch: records of a step.
        """
        record = max(1, min(record, self._size))
        places = np.random.default_rng(record).permutation(self._size // record) * record
        self._forget()
        buffer = memoryview(bytearray(record))
        began, done = time.perf_counter(), 0
        for start in range(0, len(places), batch):
            part = places[start : start + batch].tolist()
            for place in part:
                self._advise(place, record, "POSIX_FADV_WILLNEED")
            for place in part:
                done += os.preadv(self._file, [buffer], place)
            if time.perf_counter() - began > READ_SECONDS:
                break
        return done / (time.perf_counter() - began)

    def _forget(self) -> None:
        """Put the file out of the page cache, and see whether that worked."""
        self._advise(0, 0, "POSIX_FADV_DONTNEED")
        self._advise(0, 0, "POSIX_FADV_RANDOM")
        self.cold = self.cold and not self._cached()

    def _advise(self, place: int, count: int, advice: str) -> None:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file, place, count, getattr(os, advice))

    def _cached(self) -> bool:
        """Whether the middle of the file comes from memory, or whether nothing tells."""
        try:
            os.preadv(self._file, [bytearray(1)], self._size // 2, os.RWF_NOWAIT)
        except BlockingIOError:
            return False
        except (AttributeError, OSError):
            return True
        return True


@contextmanager
def open_disk(folder: Path, free: int) -> Iterator[Disk]:
    """Measure the disk of a folder that exists.

    Args:
        folder: where the temporary file is made.
        free: bytes that the disk has free; no more than a quarter is used.

    Raises:
        StoreError: where the folder cannot be written to.
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
    """The folder itself or the nearest one above it that exists, which lies on the same disk."""
    path = path.absolute()
    return next(one for one in (path, *path.parents) if one.is_dir())
