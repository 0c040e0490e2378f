"""Read records by plan row from mapped shards into reusable buffers, for training.

Allocating a batch costs several times as much as the copy, so `gather` fills the caller's buffers.
"""

import resource
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from rsmtdf_core.arrays import Rows
from rsmtdf_core.codecs import Codec
from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.store.shards import ShardReader, ShardSummary, shard_path
from rsmtdf_core.tokens import TokenShape

if TYPE_CHECKING:
    from rsmtdf_core.store.store import FeatureStore

ChecksumPolicy = Literal["always", "first", "never"]

_UNLISTED = -1
_PROBED_EVERY = 8


class FeatureReader:
    """Reader of one store; each process opens a shard at its first use.

    A reader can be pickled: only the path, the rows and a few facts are sent. Several threads may use
    it concurrently. It never writes.

    Args:
        store: the store.
        rows: the store row of each plan row, from `FeatureStore.require`.
        check: when to compare a record's checksum: at each use, at its first use in a process, or
            never.

    Attributes:
        shape: the shape of one record.
        codec: the store's codec.
    """

    def __init__(self, store: "FeatureStore", rows: Rows, check: ChecksumPolicy = "first") -> None:
        self.shape: TokenShape = store.shape
        self.codec: Codec = store.codec
        self._shards = _Shards(store, rows)
        self._rows = rows
        self._check = check
        self._plain = store.codec.record_bytes is not None
        self._unchecked = self._none_checked()

    def gather(self, plan_rows: Rows, out: npt.NDArray[Any]) -> None:
        """Read the views' stored numbers into `out` [len(plan_rows), *codec.stored_shape].

        `out` must be contiguous and have the codec's dtype.

        Raises:
            StoreDamagedError: If a shard or a record is damaged.
        """
        assert out.shape == (len(plan_rows), *self.codec.stored_shape)
        assert out.dtype == self.codec.dtype
        assert out.flags.c_contiguous
        if not self._plain:
            rows = self._rows[plan_rows].tolist()
            for slot, record, row in zip(out, self._records(plan_rows), rows, strict=True):
                try:
                    self.codec.unpack(record, slot)
                except StoreDamagedError as wrong:
                    shard, number = divmod(row, self._shards.capacity)
                    reader = _opened(self._shards, shard)
                    raise reader.damaged(f"record {number}: {wrong.what}") from None
            return
        bytes_of = out.reshape(len(out), -1).view(np.uint8)
        for slot, record in zip(bytes_of, self._records(plan_rows), strict=True):
            slot[:] = record

    def tokens(self, plan_row: int) -> npt.NDArray[np.float32]:
        """Return the decoded tokens of one view, float32 [H, W, D].

        Raises:
            StoreDamagedError: If the shard or the record is damaged.
        """
        import torch

        stored = np.empty((1, *self.codec.stored_shape), self.codec.dtype)
        self.gather(np.array([plan_row]), stored)
        tokens = self.codec.decode(torch.from_numpy(stored), "cpu")
        return np.asarray(tokens[0], np.float32)

    def prefetch(self, plan_rows: Rows) -> None:
        """Ask the system to read these views' records ahead; return at once.

        One record in eight is probed first; only if one of these is not in memory is every record read ahead.

        Raises:
            StoreDamagedError: If a shard is damaged.
        """
        addresses = list(self._addresses(plan_rows))
        # Probing costs up to a tenth of the copy, and a store is often in memory after one epoch.
        probed = addresses[::_PROBED_EVERY]
        if any(_opened(self._shards, shard).prefetch(number) for shard, number in probed):
            for shard, number in addresses:
                _opened(self._shards, shard).prefetch(number)

    def _records(self, plan_rows: Rows) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield each record's bytes in the mapped file, checked according to the policy."""
        always, unchecked = self._check == "always", self._unchecked
        addresses = self._addresses(plan_rows)
        for row, (shard, number) in zip(plan_rows.tolist(), addresses, strict=True):
            reader = _opened(self._shards, shard)
            if always or unchecked[row]:
                yield reader.record(number, check=True)
                unchecked[row] = False
            else:
                yield reader.record(number, check=False)

    def _addresses(self, plan_rows: Rows) -> Iterator[tuple[int, int]]:
        """Yield each record's shard and its number in the shard."""
        shards, numbers = np.divmod(self._rows[plan_rows], self._shards.capacity)
        return zip(shards.tolist(), numbers.tolist(), strict=True)

    def _none_checked(self) -> bytearray:
        return bytearray([self._check == "first"]) * len(self._rows)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_unchecked"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._unchecked = self._none_checked()


class _Shards:
    """Opener of the shards that hold `rows`; it keeps arrays, because there may be many shards."""

    def __init__(self, store: "FeatureStore", rows: Rows) -> None:
        self.capacity: int = store.metadata.shard_records
        self._path: Path = store.path
        self._codec = store.codec
        # Nine times as fast as np.unique, for a million rows.
        self._numbers = np.flatnonzero(np.bincount(rows // self.capacity))
        self._expected = np.full((len(self._numbers), 4), _UNLISTED, np.int64)
        entries = store.entries()
        for index, number in enumerate(self._numbers.tolist()):
            if number in entries:
                self._expected[index] = tuple(entries[number].summary)

    def open(self, shard: int) -> ShardReader:
        listed = self._expected[np.searchsorted(self._numbers, shard)].tolist()
        expected = None if _UNLISTED in listed else ShardSummary(*listed)
        path = shard_path(self._path, shard, self._codec)
        return ShardReader(path, self.capacity, self._codec.record_bytes, expected)


def _most_open() -> int:
    """Return the limit of open shards: each holds two descriptors, and all may use half of the process's."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The system also limits mappings, commonly to 65530 per process.
    return 2**14 if limit == resource.RLIM_INFINITY else min(2**14, limit // 4)


@lru_cache(maxsize=_most_open())
def _opened(shards: _Shards, shard: int) -> ShardReader:
    return shards.open(shard)
