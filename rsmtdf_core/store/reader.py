"""Training's side of a store: records by plan row, from mapped shards into buffers that stay.

Allocating a batch costs several times the copy, so `gather` fills what the caller keeps.
"""

from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rsmtdf_core.store.codecs import get_codec
from rsmtdf_core.store.group import Rows
from rsmtdf_core.store.shards import ShardReader
from rsmtdf_core.store.store import FeatureStore, shard_path

Check = Literal["always", "first", "never"]

# A mapped shard holds a file descriptor, of which a process commonly has 1024.
_OPEN_SHARDS = 256


class FeatureReader:
    """Reads one store; shards are opened when first used, in each process on its own.

    It can be sent to other processes: only the path, the rows and a few facts travel.

    Args:
        store: the store.
        rows: the store row of each plan row, as `FeatureStore.require` returns them.
        check: when a record's checksum is compared: at each use, at its first use in a process,
            never.
    """

    def __init__(self, store: FeatureStore, rows: Rows, check: Check = "first") -> None:
        self.shape = store.shape
        self.codec = get_codec(store.metadata.codec)
        self._path = store.path
        self._capacity = store.metadata.shard_records
        self._record_bytes = store.metadata.record_bytes
        self._rows: list[int] = rows.tolist()
        self._check = check
        self._start()

    def tokens(self, plan_row: int) -> npt.NDArray[Any]:
        """The stored numbers [H, W, D] of one view: a read-only view of the file, no copy.

        Raises:
            StoreDamagedError: where the shard or the record is not what was written.
        """
        shard, number = divmod(self._rows[plan_row], self._capacity)
        check = self._check == "always" or (
            self._check == "first" and plan_row not in self._checked
        )
        record = self._shard(shard).record(number, check=check)
        self._checked.add(plan_row)
        return self.codec.view(record, self.shape.record_shape)

    def gather(self, plan_rows: npt.NDArray[np.int64], out: npt.NDArray[Any]) -> None:
        """Copy the views' stored numbers into `out` [len(plan_rows), H, W, D] of the codec's type.

        All of the records are asked of the disk before the first is awaited.
        """
        rows = plan_rows.tolist()
        assert out.shape == (len(rows), *self.shape.record_shape)
        assert out.dtype == self.codec.dtype
        self.prefetch(plan_rows)
        for slot, row in zip(out, rows, strict=True):
            np.copyto(slot, self.tokens(row))

    def prefetch(self, plan_rows: npt.NDArray[np.int64]) -> None:
        """Ask the system to read these views' records ahead; returns at once."""
        for row in plan_rows.tolist():
            shard, number = divmod(self._rows[row], self._capacity)
            self._shard(shard).prefetch(number)

    def _start(self) -> None:
        self._checked: set[int] = set()
        self._shard = lru_cache(maxsize=_OPEN_SHARDS)(self._open)

    def _open(self, shard: int) -> ShardReader:
        return ShardReader(shard_path(self._path, shard), self._capacity, self._record_bytes)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in ("_shard", "_checked")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._start()
