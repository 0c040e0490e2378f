"""The writing side for one task: whole shards, with no other state than the store's folder."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import StoreDamagedError, StoreError, StoreNotFoundError
from rsmtdf_core.files import sync_folder
from rsmtdf_core.store.codecs import Packed, get_codec
from rsmtdf_core.store.ledger import LedgerEntry
from rsmtdf_core.store.metadata import StoreMetadata, read_metadata
from rsmtdf_core.store.shards import ShardReader, write_shard
from rsmtdf_core.store.store import shard_path

Tokens = npt.NDArray[np.floating[Any]]


def write_block(
    store_path: Path, rows: range, records: Iterator[Tokens | None]
) -> list[LedgerEntry]:
    """Write the shards of the store rows `rows` (whole shards) and return their ledger entries.

    Args:
        store_path: the store's folder.
        rows: store rows, from the first row of a shard to the last row of one.
        records: for each row its tokens, float32 [H, W, D], or None, which keeps the record that is
            there already or leaves a gap. A shard that ends up without records is not written.

    Raises:
        StoreError: naming the store row whose tokens are not finite or too large.
    """
    metadata = read_metadata(store_path, StoreNotFoundError)
    capacity = metadata.shard_records
    assert rows.step == 1
    assert rows.start % capacity == rows.stop % capacity == 0
    assert rows.stop <= metadata.rows
    records = iter(records)
    entries = []
    for start in range(rows.start, rows.stop, capacity):
        path = shard_path(store_path, start // capacity)
        old = _readable(path, metadata)
        shard = _packed(metadata, store_path, start, islice(records, capacity), old)
        summary = write_shard(path, shard, capacity)
        if not summary.records:
            path.unlink()
            continue
        for folder in list(path.parents)[1:5]:
            sync_folder(folder)
        entries.append(LedgerEntry.of(start // capacity, summary))
    return entries


def _readable(path: Path, metadata: StoreMetadata) -> ShardReader | None:
    """The shard that is there already, if its index can be trusted."""
    try:
        return ShardReader(path, metadata.shard_records, metadata.record_bytes)
    except StoreDamagedError:
        return None


def _packed(
    metadata: StoreMetadata,
    store_path: Path,
    start: int,
    records: Iterator[Tokens | None],
    old: ShardReader | None,
) -> Iterator[Packed | None]:
    codec = get_codec(metadata.codec)
    for number in range(metadata.shard_records):
        tokens = next(records)
        if tokens is None:
            yield _kept(old, number)
            continue
        assert tokens.shape == metadata.shape.record_shape
        try:
            packed = codec.encode(tokens)
        except StoreError as wrong:
            raise StoreError(
                wrong.what,
                where=f"store row {start + number} of {store_path}",
                remedy="check the teacher's weights and precision, or choose another codec",
            ) from None
        yield packed


def _kept(old: ShardReader | None, number: int) -> Packed | None:
    if old is None or not old.present[number]:
        return None
    try:
        return old.record(number, check=True)
    except StoreDamagedError:
        return None
