"""A shard: a file of records in Zarr v3's `sharding_indexed` layout, suitable for memory mapping.

    record 0 | its crc32c | record 1 | its crc32c | ... | index | crc32c of the index

The index has one (offset, length) pair of little-endian u64 per record of the shard; both are 2^64
- 1 if the record is absent. A length includes the record's crc32c. Records follow each other in their
order, without gaps. All checksums are little-endian u32.
"""

import ctypes
import errno
import mmap
import os
import stat
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import google_crc32c
import numpy as np
import numpy.typing as npt

from rsmtdf_core.codecs import Codec, Packed
from rsmtdf_core.errors import StoreDamagedError, StoreError
from rsmtdf_core.files import atomic_file

_ABSENT = np.uint64(2**64 - 1)
# Raised if a parent folder is a file, or if the path is a socket.
_NOT_A_FILE = (errno.ENOTDIR, errno.ENXIO)
_CRC_BYTES = 4
_PAIR_BYTES = 16


class ShardSummary(NamedTuple):
    """A summary that distinguishes shards without reading their records.

    Attributes:
        records: number of records.
        bytes: size of the file.
        index_crc32c: checksum of the index.
        content_crc32c: checksum of the records' checksums in order; unlike the index, it
            differs between two full shards of equal shape.
    """

    records: int
    bytes: int
    index_crc32c: int
    content_crc32c: int


def shard_path(store: Path, shard: int, codec: Codec) -> Path:
    """Return the path of chunk `shard` of the Zarr array at `store`."""
    return store.joinpath("c", str(shard), *"0" * len(codec.stored_shape))


def write_shard(path: Path, records: Iterable[Packed | None], capacity: int) -> ShardSummary:
    """Write `capacity` records (None: absent) to a shard as a stream, atomically."""
    index = np.full((capacity, 2), _ABSENT, "<u8")
    offset = present = content = 0
    with atomic_file(path) as file:
        handle = file.fileno()
        for number, record in enumerate(records):
            if record is None:
                continue
            length = record.nbytes + _CRC_BYTES
            if not present:
                _preallocate(handle, capacity * (length + _PAIR_BYTES) + _CRC_BYTES)
            checksum = google_crc32c.value(record).to_bytes(_CRC_BYTES, "little")
            content = google_crc32c.extend(content, checksum)
            _write(handle, record.data, checksum)
            index[number] = offset, length
            offset, present = offset + length, present + 1
        index_crc32c = google_crc32c.value(index.tobytes())
        _write(handle, index.tobytes(), index_crc32c.to_bytes(_CRC_BYTES, "little"))
        size = offset + capacity * _PAIR_BYTES + _CRC_BYTES
        os.ftruncate(handle, size)
    return ShardSummary(present, size, index_crc32c, content)


class ShardReader:
    """A mapped shard; its index is parsed and checked before any record is read.

    Args:
        path: the shard file.
        capacity: records per shard.
        record_bytes: bytes of each record, None if they differ.
        expected: the ledger's summary of the shard, which may have gained records since; None for no
            comparison.

    Attributes:
        path: the shard file.
        present: whether each record is present, bool [capacity].
        data: the whole file, uint8, read-only.
        offsets: where each record starts in `data`, 0 if it is absent.
        sizes: bytes of each record without its checksum, 0 if it is absent.

    Raises:
        StoreDamagedError: If the file is missing or not a regular file, its size, index or
            checksum is wrong, or it differs from `expected`.
        StoreError: If the system refuses to read it.
    """

    def __init__(
        self,
        path: Path,
        capacity: int,
        record_bytes: int | None,
        expected: ShardSummary | None = None,
    ) -> None:
        self.path = path
        footer_bytes = capacity * _PAIR_BYTES + _CRC_BYTES
        self._handle = _open_file(path)
        weakref.finalize(self, os.close, self._handle)
        self.data: Packed = np.frombuffer(self._map(footer_bytes), np.uint8)
        footer = self.data[-footer_bytes:]
        self._index_crc32c = google_crc32c.value(footer[:-_CRC_BYTES])
        if self._index_crc32c != _stored_crc(footer):
            raise self.damaged("its index does not match its checksum")
        index = footer[:-_CRC_BYTES].copy().view("<u8").reshape(capacity, 2)
        self.present: npt.NDArray[np.bool_] = ~(index == _ABSENT).all(axis=1)
        self._check_index(index, self.data.size - footer_bytes, record_bytes)
        self.offsets: list[int] = np.where(self.present, index[:, 0], 0).tolist()
        self.sizes: list[int] = np.where(self.present, index[:, 1] - _CRC_BYTES, 0).tolist()
        # A shard may gain records after its ledger entry; it never changes otherwise.
        gained = expected is not None and int(self.present.sum()) > expected.records
        if expected is not None and not gained and not self.matches(expected):
            raise self.damaged("it is not the shard recorded in the ledger")

    def record(self, number: int, *, check: bool) -> Packed:
        """Return the bytes of a present record without a copy; `check` compares its checksum.

        Raises:
            StoreDamagedError: If the checksum differs.
        """
        assert self.sizes[number], "absent"
        start = self.offsets[number]
        record = self.data[start : start + self.sizes[number]]
        if check and google_crc32c.value(record) != self._checksum(number):
            raise self.damaged(f"record {number} does not match its checksum")
        return record

    def prefetch(self, number: int) -> bool:
        """Ask the system to read a record ahead unless it is in memory; return at once whether it was asked."""
        start, size = self.offsets[number], self.sizes[number] + _CRC_BYTES
        # Asking costs a fifth of the time of a copy, even for a record in memory. The middle decides,
        # because reading a neighbour may have loaded the ends.
        if self._in_memory(start + size // 2):
            return False
        os.posix_fadvise(self._handle, start, size, os.POSIX_FADV_WILLNEED)
        return True

    def summary(self) -> ShardSummary:
        """Return the shard's summary; reads each record's checksum, not the record."""
        content = 0
        for number in np.flatnonzero(self.present).tolist():
            content = google_crc32c.extend(
                content, self._checksum(number).to_bytes(_CRC_BYTES, "little")
            )
        records = int(self.present.sum())
        return ShardSummary(records, self.data.size, self._index_crc32c, content)

    def matches(self, summary: ShardSummary) -> bool:
        """Return whether size and index match `summary`; reads no record."""
        current = int(self.present.sum()), self.data.size, self._index_crc32c
        return current == (summary.records, summary.bytes, summary.index_crc32c)

    def verify(self) -> ShardSummary:
        """Read every record and compare its checksum.

        Raises:
            StoreDamagedError: If a checksum differs.
        """
        for number in np.flatnonzero(self.present).tolist():
            self.record(number, check=True)
        return self.summary()

    def damaged(self, problem: str) -> StoreDamagedError:
        """Return the error for damage to this shard."""
        return damage(self.path, f"the shard is damaged: {problem}")

    def _check_index(
        self, index: npt.NDArray[np.uint64], room: int, record_bytes: int | None
    ) -> None:
        """Refuse an index unless its records fill the file before it without gaps."""
        offsets, lengths = index[self.present].T
        least, most = (1, room) if record_bytes is None else (record_bytes, record_bytes)
        right = (lengths >= least + _CRC_BYTES) & (lengths <= most + _CRC_BYTES)
        # No length exceeds the file, so the sums cannot wrap around.
        if (right & (lengths <= room)).all():
            ends = np.cumsum(lengths)
            last = int(ends[-1]) if len(ends) else 0
            if last == room and np.array_equal(offsets, ends - lengths):
                return
        size = "records" if record_bytes is None else f"records of {record_bytes} bytes"
        raise self.damaged(f"its index does not list {size} that fill the file without gaps")

    def _in_memory(self, offset: int) -> bool:
        try:
            return os.preadv(self._handle, [bytearray(1)], offset, os.RWF_NOWAIT) == 1
        except OSError:  # it is not, or the file system does not know
            return False

    def _map(self, at_least: int) -> mmap.mmap:
        state = os.fstat(self._handle)
        if not stat.S_ISREG(state.st_mode):
            raise damage(self.path, "the shard is not a regular file")
        if state.st_size < at_least:
            raise self.damaged(f"{state.st_size} bytes cannot hold its index")
        return mmap.mmap(self._handle, state.st_size, access=mmap.ACCESS_READ)

    def _checksum(self, number: int) -> int:
        end = self.offsets[number] + self.sizes[number] + _CRC_BYTES
        return _stored_crc(self.data[end - _CRC_BYTES : end])


def damage(path: Path, problem: str) -> StoreDamagedError:
    """Return the error for a damaged file of a cache."""
    return StoreDamagedError(problem, where=path)


def _preallocate(handle: int, size: int) -> None:
    """Reserve disk space, which halves the time to write into it; a failure is harmless.

    Not `os.posix_fallocate`, which writes to every block if the file system cannot reserve space.
    """
    fallocate = getattr(ctypes.CDLL(None), "fallocate", None)
    if fallocate is not None:
        fallocate(handle, 0, ctypes.c_int64(0), ctypes.c_int64(size))


def _write(handle: int, *parts: memoryview | bytes) -> None:
    """Write all of `parts`; the system may take fewer bytes in one call."""
    written = os.writev(handle, parts)
    if written < sum(len(part) for part in parts):
        rest = memoryview(b"".join(parts))[written:]
        while rest:
            rest = rest[os.write(handle, rest) :]


def _open_file(path: Path) -> int:
    for folder in path.parents:
        if folder.is_symlink():
            raise damage(folder, "this is a symbolic link, not a folder of the store")
        if folder.name == "c":
            break
    try:
        # A link may lead out of the store, and opening a pipe would wait for its writer.
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise damage(path, "the shard is missing") from None
    except OSError as wrong:
        if wrong.errno == errno.ELOOP:
            raise damage(path, "the shard is a symbolic link, not a file") from None
        if wrong.errno in _NOT_A_FILE:
            raise damage(path, "the shard is not a regular file") from None
        raise StoreError(
            f"the shard cannot be opened: {wrong.strerror}",
            where=path,
            remedy="correct its permissions or check its disk",
        ) from wrong


def _stored_crc(data: Packed) -> int:
    return int.from_bytes(data[-_CRC_BYTES:].tobytes(), "little")
