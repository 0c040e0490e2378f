"""One store: the records of one teacher, in one codec, for the views of one group.

The coordinator creates it, workers write whole shards (`writing.write_block`), and the coordinator
enters these in the ledger and commits. A commit promises a prefix of the ledger, so a store that is
being grown, or whose growth was killed, still serves what it had promised before.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import (
    StoreDamagedError,
    StoreIncompleteError,
    StoreMismatchError,
    StoreNotFoundError,
)
from rsmtdf_core.fingerprints import canonical_json, fingerprint
from rsmtdf_core.store.codecs import get_codec
from rsmtdf_core.store.commit import Commit, read_commit, write_commit
from rsmtdf_core.store.group import Rows, ViewGroup, locked
from rsmtdf_core.store.ledger import LEDGER, LedgerEntry, append_ledger, read_ledger
from rsmtdf_core.store.metadata import (
    EXTRACT,
    SEGMENT_ROWS,
    ZARR,
    StoreMetadata,
    read_metadata,
    write_metadata,
)
from rsmtdf_core.store.shards import ShardReader, damage
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.views.plan import ViewPlan

SHARD_BYTES = 256 * 2**20


@dataclass(frozen=True)
class FeatureStore:
    """A store on disk, opened.

    Attributes:
        path: the store's folder.
        group: the views its rows stand for.
        metadata: what it says about itself.
    """

    path: Path
    group: ViewGroup
    metadata: StoreMetadata

    @classmethod
    def create(
        cls,
        group: ViewGroup,
        teacher_identity: Mapping[str, Any],
        shape: TokenShape,
        codec: str,
        probe: Sequence[float],
        random_weights: bool,
        shard_bytes: int = SHARD_BYTES,
    ) -> "FeatureStore":
        """The store of this teacher and codec, made if it is not there, grown to the group's rows.

        A store that the same teacher made under another name is taken as it is, with its probe and
        shard size.

        Raises:
            StoreMismatchError: where it is there with another grid.
        """
        identity = json.loads(canonical_json(teacher_identity))
        record_bytes = get_codec(codec).record_bytes(shape.record_shape)
        wanted = StoreMetadata(
            rows=len(group.table),
            shard_records=_records_a_shard(record_bytes, shard_bytes),
            identity=identity,
            shape=shape,
            codec=codec,
            probe=tuple(probe),
            random_weights=random_weights,
        )
        same = sorted(group.path.glob(f"*-{fingerprint(identity)[:12]}-{codec}/zarr.json"))
        if not same:
            write_metadata(group.path / wanted.folder_name, wanted)
            return cls(group.path / wanted.folder_name, group, wanted)
        store = cls.open(same[0].parent, group)
        found = replace(store.metadata.shape, teacher=shape.teacher)
        if store.metadata.identity != identity or found != shape:
            raise StoreMismatchError(
                f"expected {shape.record_shape} tokens of this teacher, found {found.record_shape}",
                where=store.path,
                remedy="use another cache folder",
            )
        return store._grown(wanted.rows)

    @classmethod
    def open(cls, path: Path, group: ViewGroup) -> "FeatureStore":
        """Open the store at `path`, committed or not; nothing is written.

        Raises:
            StoreNotFoundError: where there is none.
            StoreDamagedError: where its metadata is not what was written.
        """
        metadata = read_metadata(path, StoreNotFoundError)
        if metadata.rows > len(group.table):
            what = f"{metadata.rows} rows, but the group has {len(group.table)}"
            raise damage(path / ZARR, f"the store's metadata is inconsistent: {what}")
        return cls(path, group, metadata)

    @property
    def shape(self) -> TokenShape:
        """The tokens of one record; `teacher` is the name under which the store was made."""
        return self.metadata.shape

    def writing(self) -> AbstractContextManager[None]:
        """Hold the store for one extraction.

        Raises:
            StoreError: on entering, where another process extracts into it.
        """
        return locked(self.path, wait=False)

    def missing_rows(self, rows: Rows) -> Rows:
        """Those of the store rows that no complete shard in the ledger holds, ascending.

        A shard whose file is gone or has another size or index than its entry counts as missing.
        """
        entries = read_ledger(self.path).entries
        missing = [
            rows_in if reader is None else rows_in[~reader.present[rows_in % self._capacity]]
            for shard, rows_in in self._by_shard(rows)
            for reader in [self._open_listed(shard, entries)]
        ]
        return np.concatenate([np.empty(0, np.int64), *missing])

    def blocks(self, rows: Rows) -> tuple[range, ...]:
        """The store rows of each shard that holds some of `rows`: one task each."""
        capacity = self._capacity
        return tuple(
            range(shard * capacity, (shard + 1) * capacity) for shard, _ in self._by_shard(rows)
        )

    def append(self, entries: Sequence[LedgerEntry]) -> None:
        """Enter shards that `write_block` completed in the ledger; for the coordinator only."""
        append_ledger(self.path, entries)

    def adopt(self) -> tuple[LedgerEntry, ...]:
        """Enter whole shards that a killed extraction had not, and remove its temporary files.

        Each is read and checked first; damaged ones are left to be written again. For the
        coordinator only, while no task is writing.
        """
        for leftover in self.path.glob("c/*/0/0/0.tmp-*"):
            leftover.unlink()
        entries = read_ledger(self.path).entries
        found = []
        for shard in range(self.metadata.rows // self._capacity):
            if self._open_listed(shard, entries) is not None:
                continue
            try:
                found.append(LedgerEntry.of(shard, self._open_shard(shard).verify()))
            except StoreDamagedError:
                continue
        if found:
            self.append(found)
        return tuple(found)

    def commit(self, rows: Rows, seconds: float, certificate: Mapping[str, Any]) -> Commit:
        """Promise that all of the rows are here; `seconds` are added to those of earlier commits.

        Raises:
            StoreIncompleteError: where some are missing.
        """
        missing = self.missing_rows(rows)
        if len(missing):
            raise self._incomplete(f"{len(missing)} of {len(rows)} records are missing")
        ledger = read_ledger(self.path)
        before = self.read_commit()
        commit = Commit(
            rows=self.metadata.rows,
            views=sum(entry.records for entry in ledger.entries.values()),
            ledger_bytes=len(ledger.content),
            ledger_sha256=hashlib.sha256(ledger.content).hexdigest(),
            seconds=seconds + (before.seconds if before else 0.0),
            certificate=json.loads(canonical_json(certificate)),
        )
        write_commit(self.path, commit)
        return commit

    def read_commit(self) -> Commit | None:
        """The commit, None where the store was never committed.

        Raises:
            StoreDamagedError: where it is not what was written.
        """
        return read_commit(self.path)

    def require(self, plan: ViewPlan) -> Rows:
        """The store row of each plan row, all of them committed and in place.

        Sizes and indexes are checked here, each record's checksum when it is read.

        Raises:
            StoreIncompleteError: where the store was not committed, or not for all of these views.
            StoreMismatchError: where the plan's views are other ones.
            StoreDamagedError: where a file is not what was written.
        """
        rows = self.group.rows(plan)
        commit = self.read_commit()
        if commit is None:
            raise self._incomplete("the store was never committed")
        promised = read_ledger(self.path, commit.ledger_bytes)
        if hashlib.sha256(promised.content).hexdigest() != commit.ledger_sha256:
            raise damage(self.path / LEDGER, "the ledger is not the one that was committed")
        entries = read_ledger(self.path).entries
        absent = 0
        for shard, rows_in in self._by_shard(rows):
            if shard not in promised.entries:
                absent += len(rows_in)
                continue
            reader = self._open_shard(shard)
            if not reader.matches(entries[shard].summary):
                raise reader.damaged("it is not the shard that was entered in the ledger")
            absent += int((~reader.present[rows_in % self._capacity]).sum())
        if absent:
            raise self._incomplete(f"{absent} of {len(rows)} records were not committed")
        return rows

    def verify(self, on_shard: Callable[[], None] | None = None) -> tuple[StoreDamagedError, ...]:
        """Read every record of every listed shard; what is wrong, one error a shard."""
        problems = []
        for shard, entry in sorted(read_ledger(self.path).entries.items()):
            try:
                reader = self._open_shard(shard)
                if reader.verify() != entry.summary:
                    problems.append(reader.damaged("it is not the shard that was entered"))
            except StoreDamagedError as problem:
                problems.append(problem)
            if on_shard is not None:
                on_shard()
        return tuple(problems)

    def shard_path(self, shard: int) -> Path:
        """The file of shard number `shard`."""
        return shard_path(self.path, shard)

    @property
    def _capacity(self) -> int:
        return self.metadata.shard_records

    def _by_shard(self, rows: Rows) -> Iterator[tuple[int, Rows]]:
        """Each shard that holds some of `rows`, with these, ascending."""
        ordered = np.unique(rows)
        shards, starts = np.unique(ordered // self._capacity, return_index=True)
        parts: Sequence[npt.NDArray[np.int64]] = np.split(ordered, starts[1:])
        return zip(shards.tolist(), parts, strict=False)

    def _open_shard(self, shard: int) -> ShardReader:
        return ShardReader(self.shard_path(shard), self._capacity, self.metadata.record_bytes)

    def _open_listed(self, shard: int, entries: Mapping[int, LedgerEntry]) -> ShardReader | None:
        """The shard's reader if its file is the one in the ledger."""
        if shard not in entries:
            return None
        try:
            reader = self._open_shard(shard)
        except StoreDamagedError:
            return None
        return reader if reader.matches(entries[shard].summary) else None

    def _grown(self, rows: int) -> "FeatureStore":
        if rows <= self.metadata.rows:
            return self
        metadata = replace(self.metadata, rows=rows)
        write_metadata(self.path, metadata)
        return replace(self, metadata=metadata)

    def _incomplete(self, what: str) -> StoreIncompleteError:
        return StoreIncompleteError(what, where=self.path, remedy=EXTRACT)


def shard_path(store: Path, shard: int) -> Path:
    """Where Zarr looks for chunk `shard` of the array at `store`."""
    return store / "c" / str(shard) / "0" / "0" / "0"


def _records_a_shard(record_bytes: int, shard_bytes: int) -> int:
    """The largest power of two whose records fit `shard_bytes`; 1 to `SEGMENT_ROWS`."""
    fitting = max(1, min(SEGMENT_ROWS, shard_bytes // record_bytes))
    return 1 << (fitting.bit_length() - 1)
