"""A store: the records of one teacher, in one codec, for the views of one group.

The coordinator creates it, workers write whole shards (`writing.write_block`), and the coordinator
records these in the ledger and commits. A commit covers a prefix of the ledger. So a store that is
growing, or whose growth was killed, still serves its committed records.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rsmtdf_core.arrays import Rows
from rsmtdf_core.cache_names import COMMIT, LEDGER
from rsmtdf_core.codecs import Codec
from rsmtdf_core.errors import (
    StoreDamagedError,
    StoreError,
    StoreIncompleteError,
    StoreNotFoundError,
)
from rsmtdf_core.kinds import Holds
from rsmtdf_core.store.commit import Commit, read_commit, write_commit
from rsmtdf_core.store.copies import keep_copy
from rsmtdf_core.store.group import CROPS, ViewGroup
from rsmtdf_core.store.ledger import (
    Ledger,
    LedgerEntry,
    append_ledger,
    parse_ledger,
    read_ledger,
)
from rsmtdf_core.store.locks import locked
from rsmtdf_core.store.metadata import (
    EXTRACT,
    ZARR,
    StoreFacts,
    StoreMetadata,
    read_metadata,
    write_metadata,
)
from rsmtdf_core.store.parameters import PARAMETERS
from rsmtdf_core.store.shards import ShardReader, ShardSummary, damage, shard_path
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.views.plan import ViewPlan


@dataclass(frozen=True)
class FeatureStore:
    """An open store on disk.

    Attributes:
        path: the store's folder.
        group: the views of its rows.
        facts: its metadata, and its codec.
    """

    path: Path
    group: ViewGroup
    facts: StoreFacts

    @classmethod
    def open(cls, path: Path, group: ViewGroup) -> "FeatureStore":
        """Open the store at `path`, committed or not, without writing.

        Raises:
            StoreNotFoundError: If `path` has no store.
            StoreDamagedError: If its metadata is damaged.
        """
        facts = read_metadata(path, StoreNotFoundError)
        rows = facts.metadata.rows
        if rows > len(group.table):
            # Another process may have grown both since the group was read.
            group = ViewGroup.at(group.path)
        if rows > len(group.table):
            counts = f"{rows} rows, but the group has {len(group.table)}"
            raise damage(path / ZARR, f"the store's metadata is inconsistent: {counts}")
        return cls(path, group, facts)

    @property
    def metadata(self) -> StoreMetadata:
        """The metadata of the store."""
        return self.facts.metadata

    @property
    def holds(self) -> Holds:
        """The content of its records: a teacher's tokens, or pixels of views."""
        return self.facts.kind.holds

    @property
    def codec(self) -> Codec:
        """The codec of its records."""
        return self.facts.codec

    @property
    def shape(self) -> TokenShape:
        """The shape of one record; its `teacher` is the teacher's name at extraction."""
        return self.metadata.shape

    def writing(self, on_wait: Callable[[], None] | None = None) -> AbstractContextManager[None]:
        """Lock the store for one extraction; if it is locked, call `on_wait` and wait."""
        return locked(self.path, on_wait)

    def missing_rows(self, rows: Rows) -> Rows:
        """Return the store rows that no complete shard in the ledger holds, ascending.

        A shard counts as missing if its file is missing or has another size or index than its entry.
        """
        entries = self.entries()
        missing = [
            rows_in if reader is None else rows_in[~reader.present[rows_in % self._capacity]]
            for shard, rows_in in self._by_shard(rows)
            for reader in [self._open_listed(shard, entries)]
        ]
        return np.concatenate([np.empty(0, np.int64), *missing])

    def blocks(self, rows: Rows) -> tuple[range, ...]:
        """Return the store rows of each shard that holds some of `rows`; each is one task."""
        capacity = self._capacity
        return tuple(
            range(shard * capacity, (shard + 1) * capacity) for shard, _ in self._by_shard(rows)
        )

    def append(self, entries: Sequence[LedgerEntry]) -> None:
        """Record shards that `write_block` completed in the ledger; only the coordinator calls this."""
        append_ledger(self.path, entries)

    def adopt(self) -> tuple[LedgerEntry, ...]:
        """Record whole shards of a killed extraction in the ledger, and remove its temporary files.

        Each shard is read and checked first; a damaged one will be written again. Only the coordinator
        calls this, while no task is writing.
        """
        for leftover in (self.path / "c").rglob("*.tmp-*"):
            leftover.unlink()
        # Locked, because another process may be growing the store's metadata.
        with locked(self.group.path):
            for leftover in self.path.glob("*.tmp-*"):
                leftover.unlink()
        entries = read_ledger(self.path).entries
        adopted = []
        for shard in range(self.metadata.rows // self._capacity):
            if self._open_listed(shard, entries) is not None:
                continue
            try:
                adopted.append(LedgerEntry(shard, self.open_shard(shard).verify()))
            except StoreDamagedError:
                continue
        if adopted:
            self.append(adopted)
        return tuple(adopted)

    def commit(self, rows: Rows, seconds: float) -> Commit:
        """Commit the store after checking that it holds all of the rows.

        Args:
            rows: the store rows that must be present.
            seconds: the time spent; it is added to that of earlier commits.

        Raises:
            StoreIncompleteError: If some rows are missing.
        """
        # The order makes a kill harmless: records are in shards, shards in the ledger, and the ledger has a copy before
        # the commit refers to it. Until the last write the store serves the records of the previous commit.
        missing = self.missing_rows(rows)
        if len(missing):
            raise self._incomplete(f"{len(missing)} of {len(rows)} records are missing")
        before = self.read_commit()
        seconds += before.seconds if before else 0.0
        sha256 = self.metadata.parameters_sha256
        commit = Commit.of(self.metadata.rows, read_ledger(self.path), seconds, sha256)
        self._keep_copies()
        write_commit(self.path, commit)
        return commit

    def read_commit(self) -> Commit | None:
        """Read the commit; return None if the store was never committed.

        Raises:
            StoreDamagedError: If the commit is damaged, or was made with other parameters.
        """
        commit = read_commit(self.path)
        if commit is not None:
            self.require_bound(commit)
        return commit

    def require_bound(self, commit: Commit) -> None:
        """Refuse a commit of records that were encoded with other parameters than the store's.

        Raises:
            StoreDamagedError: If the parameters differ.
        """
        if commit.parameters_sha256 not in ("", self.metadata.parameters_sha256):
            raise damage(
                self.path / COMMIT, "the committed records were encoded with other parameters"
            )

    def _keep_copies(self) -> None:
        """Copy the files that grow, and those that a version without copies wrote.

        The group's crops and the ledger only grow, so an older copy is still valid as far as it goes.
        """
        grown = (self.group.path / CROPS, self.path / LEDGER)
        for path in (*grown, self.path / ZARR, self.path / PARAMETERS):
            keep_copy(path)

    def entries(self) -> dict[int, LedgerEntry]:
        """Return the newest ledger entry of each shard, committed or not."""
        return read_ledger(self.path).entries

    def require_tokens(self) -> None:
        """Check that the records are tokens.

        Raises:
            StoreError: If they are pixels.
        """
        if self.holds != "tokens":
            raise StoreError(
                f"the store contains the views' {self.holds}, not tokens",
                where=self.path,
                remedy="name a teacher's store: rsmtdf cache ls",
            )

    def require(self, plan: ViewPlan) -> Rows:
        """Return the store row of each plan row, after checking that all are committed and present.

        The sizes of shards are checked here, their indexes and records when they are read.

        Raises:
            StoreIncompleteError: If the store was not committed, or not for all of these views.
            StoreMismatchError: If the group holds a view with other parameters.
            StoreDamagedError: If a file is damaged.
        """
        rows = self.group.rows(plan)
        self.require_rows(rows)
        return rows

    def require_all(self) -> Rows:
        """Return the store rows of all views with a record, after checking them like `require`."""
        rows = np.flatnonzero(self.group.table["scene"] >= 0)
        rows = np.setdiff1d(rows, self.missing_rows(rows))
        self.require_rows(rows)
        return rows

    def require_rows(self, rows: Rows) -> None:
        """Check store rows like `require`."""
        committed, newest = self._committed_ledger()
        is_view = (self.group.table["scene"] >= 0).reshape(-1, self._capacity)
        shards = rows // self._capacity
        wanted = np.flatnonzero(np.bincount(shards))
        # There may be ten thousand shards: for whole ones only the size is checked.
        is_committed = np.isin(wanted, committed.table[:, 0])
        listed = newest.table[newest.newest]
        listed = listed[np.isin(listed[:, 0], wanted[is_committed])]
        sizes = self._sizes(listed[:, 0])
        whole = (sizes == listed[:, 2]) & (listed[:, 1] >= is_view[listed[:, 0]].sum(axis=1))
        absent = 0 if is_committed.all() else int(np.isin(shards, wanted[~is_committed]).sum())
        for shard, *summary in listed[~whole].tolist():
            # It has gaps, or a killed extraction added records without a ledger entry.
            reader = self.open_shard(shard)
            entered = ShardSummary(*summary)
            gained = int(reader.present.sum()) > entered.records
            if not (gained or reader.matches(entered)) or (reader.present & ~is_view[shard]).any():
                raise reader.damaged("it is not the shard recorded in the ledger")
            numbers = rows[shards == shard] - shard * self._capacity
            absent += int((~reader.present[numbers]).sum())
        if absent:
            raise self._incomplete(f"{absent} of {len(rows)} records were not committed")

    def _committed_ledger(self) -> tuple[Ledger, Ledger]:
        """Read the committed part of the ledger, and the whole ledger."""
        commit = self.read_commit()
        if commit is None:
            raise self._incomplete("the store was never committed")
        newest = read_ledger(self.path)
        content = newest.content[: commit.ledger_bytes]
        if hashlib.sha256(content).hexdigest() != commit.ledger_sha256:
            raise damage(self.path / LEDGER, "the ledger differs from the committed one")
        whole = len(content) == len(newest.content)
        return newest if whole else parse_ledger(self.path / LEDGER, content), newest

    def _sizes(self, shards: Rows) -> Rows:
        """Return the size of each shard's file in bytes."""
        before, after = f"{self.path}/c/", "/0" * len(self.codec.stored_shape)
        sizes = []
        for shard in shards.tolist():
            try:
                # As text: building paths would take longer than everything else.
                state = os.stat(f"{before}{shard}{after}", follow_symlinks=False)  # noqa: PTH116
            except (FileNotFoundError, NotADirectoryError):
                raise damage(self.shard_path(shard), "the shard is missing") from None
            sizes.append(state.st_size)
        return np.array(sizes, np.int64)

    def verify(self, on_shard: Callable[[], None] | None = None) -> tuple[StoreDamagedError, ...]:
        """Read every record of every shard in the ledger; return one error per damaged shard."""
        problems = []
        for shard, entry in sorted(self.entries().items()):
            try:
                reader = self.open_shard(shard)
                summary = reader.verify()
                # An extraction may have added records without a ledger entry yet.
                if summary != entry.summary and summary.records <= entry.records:
                    problems.append(reader.damaged("it is not the shard recorded in the ledger"))
            except StoreDamagedError as problem:
                problems.append(problem)
            if on_shard is not None:
                on_shard()
        return tuple(problems)

    def shard_path(self, shard: int) -> Path:
        """Return the path of a shard's file."""
        return shard_path(self.path, shard, self.codec)

    @property
    def _capacity(self) -> int:
        return self.metadata.shard_records

    def _by_shard(self, rows: Rows) -> Iterator[tuple[int, Rows]]:
        """Yield each shard that holds some of `rows`, with these rows, ascending."""
        ordered = np.unique(rows)
        shards, starts = np.unique(ordered // self._capacity, return_index=True)
        parts: Sequence[npt.NDArray[np.int64]] = np.split(ordered, starts[1:])
        return zip(shards.tolist(), parts, strict=False)

    def open_shard(self, shard: int, expected: ShardSummary | None = None) -> ShardReader:
        """Open a shard.

        Raises:
            StoreDamagedError: If the file is not a shard of this store, or differs from `expected`.
        """
        return ShardReader(
            self.shard_path(shard), self._capacity, self.codec.record_bytes, expected
        )

    def _open_listed(self, shard: int, entries: Mapping[int, LedgerEntry]) -> ShardReader | None:
        """Open a shard if its file matches the ledger."""
        if shard not in entries:
            return None
        try:
            reader = self.open_shard(shard)
        except StoreDamagedError:
            return None
        return reader if reader.matches(entries[shard].summary) else None

    def grown_to(self, rows: int) -> "FeatureStore":
        """Return the store with at least this many rows."""
        if rows <= self.metadata.rows:
            return self
        # Growth only increases the number of rows in zarr.json. The new rows have no shards yet, so they count as
        # missing, and the previous commit is still valid.
        # Locked and read again, because another process may have grown the store further.
        with locked(self.group.path):
            facts = read_metadata(self.path, StoreNotFoundError)
            if rows > facts.metadata.rows:
                facts = replace(facts, metadata=replace(facts.metadata, rows=rows))
                write_metadata(self.path, facts)
        return replace(self, facts=facts)

    def _incomplete(self, problem: str) -> StoreIncompleteError:
        return StoreIncompleteError(problem, where=self.path, remedy=EXTRACT)
