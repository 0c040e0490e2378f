"""The ledger: one line for each complete shard, appended by the coordinator alone.

A Zarr store with half its shards opens without an error, so something else must say what is
complete. A later line about a shard replaces an earlier one. Each line ends with the crc32c of what
stands before it. A line that was cut off by a crash is ignored, and removed by the next append.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c

from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.files import sync_folder
from rsmtdf_core.store.shards import ShardSummary, damage

LEDGER = "ledger.jsonl"


_CRC = b', "crc32c": '


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A complete shard of a store.

    Attributes:
        shard: its number.
        summary: what its file must look like.
        fidelity: what was measured of its records while writing, as JSON; None where nothing was.
    """

    shard: int
    summary: ShardSummary
    fidelity: dict[str, Any] | None = None

    @property
    def records(self) -> int:
        """How many records are present."""
        return self.summary.records


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
    return parse_ledger(path, content)


def parse_ledger(path: Path, content: bytes) -> Ledger:
    """The ledger that `content` holds; `path` is named in errors."""
    content = content[: content.rfind(b"\n") + 1]
    bodies = [_body(path, n, line) for n, line in enumerate(content.split(b"\n")[:-1], 1)]
    # As one document: a parser's call for each of ten thousand lines would take longer than all else.
    try:
        values = json.loads(b"[" + b",".join(bodies) + b"]")
    except (ValueError, RecursionError):
        values = []
    if len(values) != len(bodies):
        raise damage(path, "the ledger is not made of entries")
    parsed = [_entry(path, n, value) for n, value in enumerate(values, 1)]
    return Ledger(content, {entry.shard: entry for entry in parsed})


def append_ledger(store: Path, entries: Sequence[LedgerEntry]) -> None:
    """Append entries and sync them; a line that a crash cut off is removed first."""
    if not entries:
        return
    complete = len(read_ledger(store).content)
    with (store / LEDGER).open("ab") as file:
        file.truncate(complete)
        file.write(b"".join(map(_line, entries)))
        file.flush()
        os.fsync(file.fileno())
    sync_folder(store)


def _line(entry: LedgerEntry) -> bytes:
    summary = entry.summary
    fields = {
        "shard": entry.shard,
        "records": summary.records,
        "bytes": summary.bytes,
        "index_crc32c": summary.index_crc32c,
        "content_crc32c": summary.content_crc32c,
        "fidelity": entry.fidelity,
    }
    body = json.dumps(fields)[:-1].encode()
    return b"%b%b%d}\n" % (body, _CRC, google_crc32c.value(body))


def _body(path: Path, number: int, line: bytes) -> bytes:
    """The entry's JSON without its checksum, which is compared."""
    body, _, checksum = line.rpartition(_CRC)
    if not body or checksum != b"%d}" % google_crc32c.value(body):
        raise _damage(path, number)
    return body + b"}"


def _entry(path: Path, number: int, value: dict[str, Any]) -> LedgerEntry:
    try:
        shard, *summary, fidelity = value.values()
        if all(map(_is_count, (shard, *summary))) and isinstance(fidelity, dict | None):
            return LedgerEntry(shard, ShardSummary(*summary), fidelity)
    except (ValueError, TypeError, AttributeError):
        pass
    raise _damage(path, number)


def _damage(path: Path, number: int) -> StoreDamagedError:
    return damage(path, f"line {number} of the ledger is not an entry")


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63
