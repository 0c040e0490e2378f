"""The ledger: one line for each complete shard, appended by the coordinator alone.

A Zarr store with half its shards opens without an error, so something else must say what is
complete. A later line about a shard replaces an earlier one. A line that was cut off by a crash is
ignored, and removed by the next append.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from rsmtdf_core.files import sync_folder
from rsmtdf_core.store.shards import ShardSummary, damage

LEDGER = "ledger.jsonl"


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A complete shard of a store: its number, and the four numbers of its `ShardSummary`."""

    shard: int
    records: int
    bytes: int
    index_crc32c: int
    content_crc32c: int

    @classmethod
    def of(cls, shard: int, summary: ShardSummary) -> "LedgerEntry":
        """The entry of shard number `shard`."""
        return cls(shard, **asdict(summary))

    @property
    def summary(self) -> ShardSummary:
        """What the shard must look like."""
        return ShardSummary(self.records, self.bytes, self.index_crc32c, self.content_crc32c)


@dataclass(frozen=True, slots=True)
class Ledger:
    """A ledger as read: its complete lines and the newest entry of each shard."""

    content: bytes
    entries: dict[int, LedgerEntry]


def read_ledger(store: Path, length: int | None = None) -> Ledger:
    """Read the ledger of the store at `store`, or its first `length` bytes; an absent one is empty.

    Raises:
        StoreDamagedError: where a complete line is not an entry.
    """
    path = store / LEDGER
    content = (path.read_bytes() if path.exists() else b"")[:length]
    content = content[: content.rfind(b"\n") + 1]
    parsed = [_parse(path, n, line) for n, line in enumerate(content.splitlines(), 1)]
    return Ledger(content, {entry.shard: entry for entry in parsed})


def append_ledger(store: Path, entries: Sequence[LedgerEntry]) -> None:
    """Append entries and sync them; a line that a crash cut off is removed first."""
    if not entries:
        return
    complete = len(read_ledger(store).content)
    lines = "".join(json.dumps(asdict(entry)) + "\n" for entry in entries)
    with (store / LEDGER).open("ab") as file:
        file.truncate(complete)
        file.write(lines.encode())
        file.flush()
        os.fsync(file.fileno())
    sync_folder(store)


def _parse(path: Path, number: int, line: bytes) -> LedgerEntry:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    names = {field.name for field in fields(LedgerEntry)}
    if isinstance(value, dict) and value.keys() == names and all(map(_is_count, value.values())):
        return LedgerEntry(**value)
    raise damage(path, f"line {number} of the ledger is not an entry")


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63
