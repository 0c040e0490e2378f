"""Training's side of a store: records by plan row, from mapped shards into buffers that stay.

Allocating a batch costs several times the copy, so `gather` fills what the caller keeps.
"""

import resource
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from rsmtdf_core.arrays import Rows
from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.store.codecs import Codec
from rsmtdf_core.store.shards import ShardReader, ShardSummary, shard_path
from rsmtdf_core.tokens import TokenShape

if TYPE_CHECKING:
    from rsmtdf_core.store.store import FeatureStore

ChecksumPolicy = Literal["always", "first", "never"]

_UNLISTED = -1
_LOOKED_AT = 8


class FeatureReader:
    """Reads one store; shards are opened when first used, in each process on its own.

    It can be sent to other processes: only the path, the rows and a few facts travel. Several
    threads may use it at once. Nothing is written.

    Args:
        store: the store.
        rows: the store row of each plan row, as `FeatureStore.require` returns them.
        check: when a record's checksum is compared: at each use, at its first use in a process,
            never.

    Attributes:
        shape: what one record holds.
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
        """Put the views' stored numbers into `out` [len(plan_rows), *codec.stored_shape].

        `out` is contiguous and of the codec's type.

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
        """The decoded tokens of one view, float32 [H, W, D].

        Raises:
            StoreDamagedError: If the shard or the record is damaged.
        """
        import torch

        stored = np.empty((1, *self.codec.stored_shape), self.codec.dtype)
        self.gather(np.array([plan_row]), stored)
        tokens = self.codec.decode(torch.from_numpy(stored), "cpu")
        return np.asarray(tokens[0], np.float32)

    def prefetch(self, plan_rows: Rows) -> None:
        """Ask the system to read these views' records ahead; returns at once.

        One record in eight is looked at; only where one of these is not in memory is every one.

        Raises:
            StoreDamagedError: If a shard is damaged.
        """
        places = list(self._places(plan_rows))
        # Looking costs up to a tenth of the copy, and a store that was read once lies in memory.
        looked_at = places[::_LOOKED_AT]
        if any(_opened(self._shards, shard).prefetch(number) for shard, number in looked_at):
            for shard, number in places:
                _opened(self._shards, shard).prefetch(number)

    def _records(self, plan_rows: Rows) -> Iterator[npt.NDArray[np.uint8]]:
        """Each record's bytes in the mapped file, checked where that is asked for."""
        always, unchecked = self._check == "always", self._unchecked
        for row, (shard, number) in zip(plan_rows.tolist(), self._places(plan_rows), strict=True):
            reader = _opened(self._shards, shard)
            if always or unchecked[row]:
                yield reader.record(number, check=True)
                unchecked[row] = False
            else:
                yield reader.record(number, check=False)

    def _places(self, plan_rows: Rows) -> Iterator[tuple[int, int]]:
        """Shard and number therein of each record."""
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
    """How to open the shards that hold `rows`; tables instead of objects, as there are many."""

    def __init__(self, store: "FeatureStore", rows: Rows) -> None:
        self.capacity: int = store.metadata.shard_records
        self._path: Path = store.path
        self._codec = store.codec
        # Nine times as fast as np.unique, for a million rows.
        self._numbers = np.flatnonzero(np.bincount(rows // self.capacity))
        self._expected = np.full((len(self._numbers), 4), _UNLISTED, np.int64)
        entries = store.entries()
        for place, number in enumerate(self._numbers.tolist()):
            if number in entries:
                one = entries[number].summary
                self._expected[place] = (
                    one.records,
                    one.bytes,
                    one.index_crc32c,
                    one.content_crc32c,
                )

    def open(self, shard: int) -> ShardReader:
        listed = self._expected[np.searchsorted(self._numbers, shard)].tolist()
        expected = None if _UNLISTED in listed else ShardSummary(*listed)
        path = shard_path(self._path, shard, self._codec)
        return ShardReader(path, self.capacity, self._codec.record_bytes, expected)


def _most_open() -> int:
    """An open shard holds two descriptors: half of those a process may have, for all its readers."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The system also limits mappings, commonly to 65530 a process.
    return 2**14 if limit == resource.RLIM_INFINITY else min(2**14, limit // 4)


@lru_cache(maxsize=_most_open())
def _opened(shards: _Shards, shard: int) -> ShardReader:
    return shards.open(shard)
