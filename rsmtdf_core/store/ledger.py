"""The ledger: one line per complete shard, appended only by the coordinator.

A Zarr store with half of its shards opens without an error, so the ledger records which shards are
complete. A later line for a shard replaces an earlier one. Each line ends with the crc32c of the text
before it. A line that a crash cut off is ignored, and the next append removes it.
"""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import google_crc32c
import numpy as np
import numpy.typing as npt

from rsmtdf_core.cache_names import LEDGER
from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.files import read_file, sync_folder
from rsmtdf_core.refusals import naming, writing
from rsmtdf_core.store.copies import copy_of, is_there
from rsmtdf_core.store.shards import ShardSummary, damage

_CRC = b', "crc32c": '
# A pattern, because a JSON parser takes four times as long and there may be ten thousand lines.
_LINE = re.compile(
    rb'({"shard": (\d{1,18}), "records": (\d{1,18}), "bytes": (\d{1,18}), "index_crc32c": (\d{1,18}), '
    rb'"content_crc32c": (\d{1,18}), "fidelity": (null|{[ -~]*})), "crc32c": (\d{1,18})}'
)


class LedgerEntry(NamedTuple):
    """A complete shard of a store; a tuple, because there may be ten thousand of them.

    Attributes:
        shard: the shard's number.
        summary: the summary that its file must match.
        fidelity: the measurements of its records while writing, a JSON object as text; None without measurements.
    """

    shard: int
    summary: ShardSummary
    fidelity: str | None = None

    @property
    def records(self) -> int:
        """Number of records."""
        return self.summary.records


@dataclass(frozen=True, eq=False)
class Ledger:
    """A ledger as read: its complete lines and the newest entry of each shard.

    Attributes:
        content: the complete lines.
        table: int64 [lines, 5]: shard, and the four numbers of its `ShardSummary`.
        fidelities: the fidelity of each line.
    """

    content: bytes
    table: npt.NDArray[np.int64]
    fidelities: Sequence[str | None]

    @cached_property
    def newest(self) -> npt.NDArray[np.int64]:
        """The row in `table` of each shard's newest line, by shard, int64 [shards]."""
        _, last = np.unique(self.table[::-1, 0], return_index=True)
        rows: npt.NDArray[np.int64] = len(self.table) - 1 - last
        return rows

    @cached_property
    def entries(self) -> dict[int, LedgerEntry]:
        """The newest entry of each shard."""
        return {
            shard: LedgerEntry(shard, ShardSummary(*summary), self.fidelities[row])
            for row in self.newest.tolist()
            for shard, *summary in [self.table[row].tolist()]
        }


def read_ledger(store: Path, length: int | None = None) -> Ledger:
    """Read the ledger of a store, or its first `length` bytes; a missing ledger is empty.

    Raises:
        StoreDamagedError: If a complete line is not an entry, or the file is missing but its copy is not.
    """
    path = store / LEDGER
    exists = is_there(path) or is_there(copy_of(path))
    content = (read_file(path, StoreDamagedError) if exists else b"")[:length]
    return parse_ledger(path, content)


def parse_ledger(path: Path, content: bytes) -> Ledger:
    """Parse the content of a ledger; `path` is for errors."""
    content = content[: content.rfind(b"\n") + 1]
    # A flat list of numbers: one object per line would trigger the garbage collector.
    numbers: list[int] = []
    fidelities: list[str | None] = []
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        entry = _entry_of(line)
        if entry is None:
            raise damage(path, f"line {number} of the ledger is not an entry")
        numbers += map(int, entry.group(2, 3, 4, 5, 6))
        fidelity = entry[7]
        fidelities.append(None if fidelity == b"null" else fidelity.decode())
    return Ledger(content, np.array(numbers, np.int64).reshape(-1, 5), fidelities)


def sound_lines(content: bytes) -> bytes:
    """Return the complete lines of a ledger's content that are entries."""
    return b"".join(
        line
        for line in content.splitlines(keepends=True)
        if line.endswith(b"\n") and _entry_of(line[:-1]) is not None
    )


def _entry_of(line: bytes) -> re.Match[bytes] | None:
    """Return the parts of a line, or None if it is not an entry."""
    match = _LINE.fullmatch(line)
    return match if match and int(match[8]) == google_crc32c.value(match[1]) else None


def append_ledger(store: Path, entries: Sequence[LedgerEntry]) -> None:
    """Append entries and sync them, after removing a line that a crash cut off."""
    if not entries:
        return
    complete = len(read_ledger(store).content)
    path = store / LEDGER
    with writing(path), naming(path), path.open("ab") as file:
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
    }
    body = f'{json.dumps(fields)[:-1]}, "fidelity": {entry.fidelity or "null"}'.encode()
    return b"%b%b%d}\n" % (body, _CRC, google_crc32c.value(body))
