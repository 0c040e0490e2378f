"""One shard: a file of records, Zarr v3's `sharding_indexed`, laid out so that it can be mapped.

    record 0 | its crc32c | record 1 | its crc32c | ... | index | crc32c of the index

The index has one (offset, length) pair of little-endian u64 per record of the shard; both are 2^64
- 1 where the record is absent. A length counts the record's crc32c too. All checksums are
little-endian u32.
"""

import mmap
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.files import atomic_file
from rsmtdf_core.store.codecs import Packed

_ABSENT = np.uint64(2**64 - 1)
_CRC_BYTES = 4
_PAIR_BYTES = 16


@dataclass(frozen=True, slots=True)
class ShardSummary:
    """What tells one shard from another without reading its records.

    Attributes:
        records: how many records are present.
        bytes: size of the file.
        index_crc32c: checksum of the index.
        content_crc32c: checksum over the records' own checksums in order: unlike the index, it
            differs between two full shards of equal shape.
    """

    records: int
    bytes: int
    index_crc32c: int
    content_crc32c: int


def write_shard(path: Path, records: Iterable[Packed | None], capacity: int) -> ShardSummary:
    """Stream `capacity` records (None: absent) into a shard that appears whole or not at all."""
    index = np.full((capacity, 2), _ABSENT, "<u8")
    offset = present = content = 0
    with atomic_file(path) as file:
        for number, record in enumerate(records):
            if record is None:
                continue
            checksum = google_crc32c.value(record).to_bytes(_CRC_BYTES, "little")
            content = google_crc32c.extend(content, checksum)
            file.write(record.data)
            file.write(checksum)
            length = record.nbytes + _CRC_BYTES
            index[number] = offset, length
            offset, present = offset + length, present + 1
        index_crc32c = google_crc32c.value(index.tobytes())
        file.write(index.tobytes())
        file.write(index_crc32c.to_bytes(_CRC_BYTES, "little"))
    size = offset + capacity * _PAIR_BYTES + _CRC_BYTES
    return ShardSummary(present, size, index_crc32c, content)


class ShardReader:
    """A mapped shard; its index is parsed and checked once.

    Args:
        path: the shard file.
        capacity: records that the shard has room for.
        record_bytes: bytes of each record.

    Raises:
        StoreDamagedError: where the file is absent, or its size, index or checksum is wrong.
    """

    def __init__(self, path: Path, capacity: int, record_bytes: int) -> None:
        self.path = path
        self._record_bytes = record_bytes
        self._map = _map_file(path, at_least=capacity * _PAIR_BYTES + _CRC_BYTES)
        self._bytes: Packed = np.frombuffer(self._map, np.uint8)
        footer = self._bytes[-(capacity * _PAIR_BYTES + _CRC_BYTES) :]
        self._index_crc32c = google_crc32c.value(footer[:-_CRC_BYTES])
        if self._index_crc32c != _stored_crc(footer):
            raise self.damaged("its index does not have the checksum that was written")
        index = footer[:-_CRC_BYTES].copy().view("<u8").reshape(capacity, 2)
        self.present: npt.NDArray[np.bool_] = ~(index == _ABSENT).all(axis=1)
        room = self._bytes.size - footer.size
        offsets, lengths = index[self.present].T
        whole = lengths == record_bytes + _CRC_BYTES
        # Compared without a sum, which could wrap around.
        if not (whole & (lengths <= room)).all() or not (offsets <= room - lengths).all():
            raise self.damaged(
                f"its index names records that are not {record_bytes} bytes within the file"
            )
        self._offsets: list[int] = np.where(self.present, index[:, 0], 0).tolist()

    def record(self, number: int, *, check: bool) -> Packed:
        """The bytes of a record that is present, without a copy; `check` compares its checksum.

        Raises:
            StoreDamagedError: where the checksum differs.
        """
        assert self.present[number]
        start = self._offsets[number]
        record = self._bytes[start : start + self._record_bytes]
        if check and google_crc32c.value(record) != self._checksum(number):
            raise self.damaged(f"record {number} does not have the checksum that was written")
        return record

    def prefetch(self, number: int) -> None:
        """Ask the system to read a record ahead; returns at once."""
        start = self._offsets[number]
        page = start - start % mmap.PAGESIZE
        self._map.madvise(mmap.MADV_WILLNEED, page, start - page + self._record_bytes)

    def summary(self) -> ShardSummary:
        """The shard's summary; touches each record's checksum, not the record."""
        content = 0
        for number in np.flatnonzero(self.present).tolist():
            content = google_crc32c.extend(
                content, self._checksum(number).to_bytes(_CRC_BYTES, "little")
            )
        records = int(self.present.sum())
        return ShardSummary(records, self._bytes.size, self._index_crc32c, content)

    def matches(self, summary: ShardSummary) -> bool:
        """Whether size and index are those of `summary`; touches no record."""
        own = int(self.present.sum()), self._bytes.size, self._index_crc32c
        return own == (summary.records, summary.bytes, summary.index_crc32c)

    def verify(self) -> ShardSummary:
        """Read every record and compare its checksum.

        Raises:
            StoreDamagedError: where one differs.
        """
        for number in np.flatnonzero(self.present).tolist():
            self.record(number, check=True)
        return self.summary()

    def damaged(self, what: str) -> StoreDamagedError:
        """The error that says what is wrong with this shard."""
        return damage(self.path, f"the shard is damaged: {what}")

    def _checksum(self, number: int) -> int:
        end = self._offsets[number] + self._record_bytes + _CRC_BYTES
        return _stored_crc(self._bytes[:end])


def damage(path: Path, what: str) -> StoreDamagedError:
    """The error for a file of a store whose loss costs only its own making again."""
    return StoreDamagedError(
        what, where=path, remedy=f"rm '{path}', then rsmtdf extract-features CONFIG"
    )


def _map_file(path: Path, at_least: int) -> mmap.mmap:
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise StoreDamagedError(
            "a shard is missing", where=path, remedy="rsmtdf extract-features CONFIG"
        ) from None
    try:
        size = os.fstat(handle).st_size
        if size < at_least:
            raise damage(path, f"the shard is damaged: {size} bytes cannot hold its index")
        return mmap.mmap(handle, size, access=mmap.ACCESS_READ)
    finally:
        os.close(handle)


def _stored_crc(data: Packed) -> int:
    return int.from_bytes(data[-_CRC_BYTES:].tobytes(), "little")
