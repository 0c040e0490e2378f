"""Write whole shards in one task, with no other state than the store's folder."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from rsmtdf_core.codecs import Packed, Tokens
from rsmtdf_core.errors import StoreDamagedError, StoreError, StoreNotFoundError
from rsmtdf_core.files import sync_folder
from rsmtdf_core.store.fidelity import Fidelity
from rsmtdf_core.store.ledger import LedgerEntry
from rsmtdf_core.store.metadata import StoreFacts, read_metadata
from rsmtdf_core.store.shards import ShardReader, damage, shard_path, write_shard

MEASURED_EVERY = 128
"""One store row in this many is decoded again and compared with its tokens."""


def write_block(
    store_path: Path, rows: range, records: Iterator[Tokens | None]
) -> list[LedgerEntry]:
    """Write the shards of the store rows `rows` (whole shards) and return their ledger entries.

    Args:
        store_path: the store's folder.
        rows: store rows, from the first row of a shard to the last row of a shard.
        records: the tokens of each row, floats [H, W, D]. None keeps an existing record or leaves a
            gap. A shard without records is not written.

    Raises:
        StoreError: If tokens are not finite or too large; the message names the store row.
    """
    facts = read_metadata(store_path, StoreNotFoundError)
    capacity = facts.metadata.shard_records
    assert rows.step == 1
    assert rows.start % capacity == rows.stop % capacity == 0
    assert rows.stop <= facts.metadata.rows
    records = iter(records)
    entries = []
    for start in range(rows.start, rows.stop, capacity):
        shard = start // capacity
        path = shard_path(store_path, shard, facts.codec)
        _refuse_links(path, len(facts.codec.stored_shape))
        packer = _Packer(facts, store_path, start, _readable(path, facts))
        summary = write_shard(path, packer.packed(islice(records, capacity)), capacity)
        if not summary.records:
            path.unlink()
            continue
        for folder in list(path.parents)[1 : len(facts.codec.stored_shape) + 2]:
            sync_folder(folder)
        entries.append(LedgerEntry(shard, summary, packer.fidelity()))
    return entries


def _refuse_links(path: Path, levels: int) -> None:
    """Refuse symbolic links as folders of a shard, which would be written elsewhere."""
    for folder in list(path.parents)[:levels]:
        if folder.is_symlink():
            raise damage(folder, "this is a symbolic link, not a folder of the store")


def _readable(path: Path, facts: StoreFacts) -> ShardReader | None:
    """Open an existing shard if its index is intact."""
    try:
        return ShardReader(path, facts.metadata.shard_records, facts.codec.record_bytes)
    except StoreDamagedError:
        return None


@dataclass
class _Packer:
    """Encodes the records of one shard and measures some of them.

    Attributes:
        facts: the store's facts.
        store_path: the store's folder.
        start: store row of the shard's first record.
        old: the existing shard, or None.
    """

    facts: StoreFacts
    store_path: Path
    start: int
    old: ShardReader | None
    _measured: list[Fidelity] = field(default_factory=list)

    def packed(self, records: Iterator[Tokens | None]) -> Iterator[Packed | None]:
        """Yield the shard's encoded records in order."""
        for number in range(self.facts.metadata.shard_records):
            tokens = next(records)
            yield self._kept(number) if tokens is None else self._encoded(number, tokens)

    def fidelity(self) -> str | None:
        """Return the measurements as JSON text, or None without measurements."""
        return json.dumps(Fidelity.merged(self._measured).to_json()) if self._measured else None

    def _encoded(self, number: int, tokens: Tokens) -> Packed:
        assert tokens.shape == self.facts.metadata.shape.record_shape
        try:
            packed = self.facts.codec.encode(tokens)
        except StoreError as wrong:
            raise StoreError(
                wrong.what,
                where=f"store row {self.start + number} of {self.store_path}",
                remedy=wrong.remedy
                or "check the teacher's weights and precision, or choose another codec",
            ) from None
        # Including the first record of each shard, so that every shard is measured.
        if tokens.dtype != np.uint8 and (
            not self._measured or (self.start + number) % MEASURED_EVERY == 0
        ):
            self._measured.append(self._compared(packed, tokens))
        return packed

    def _compared(self, packed: Packed, tokens: Tokens) -> Fidelity:
        codec = self.facts.codec
        numbers = np.empty((1, *codec.stored_shape), codec.dtype)
        codec.unpack(packed, numbers[0])
        restored = codec.decode(torch.from_numpy(numbers), "cpu")[0].numpy()
        return Fidelity.measure(tokens, restored, self.facts.parameters["mean"])

    def _kept(self, number: int) -> Packed | None:
        if self.old is None or not self.old.present[number]:
            return None
        try:
            return self.old.record(number, check=True)
        except StoreDamagedError:
            return None
