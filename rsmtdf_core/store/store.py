"""One store: the records of one teacher, in one codec, for the views of one group.

The coordinator creates it, workers write whole shards (`writing.write_block`), and the coordinator
enters these in the ledger and commits. A commit promises a prefix of the ledger, so a store that is
being grown, or whose growth was killed, still serves what it had promised before.
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
from rsmtdf_core.errors import (
    StoreDamagedError,
    StoreIncompleteError,
    StoreNotFoundError,
)
from rsmtdf_core.kinds import Holds
from rsmtdf_core.store.codecs import Codec
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
    """A store on disk, opened.

    Attributes:
        path: the store's folder.
        group: the views its rows stand for.
        facts: what it says about itself, and its codec.
    """

    path: Path
    group: ViewGroup
    facts: StoreFacts

    @classmethod
    def open(cls, path: Path, group: ViewGroup) -> "FeatureStore":
        """Open the store at `path`, committed or not; nothing is written.

        Raises:
            StoreNotFoundError: where there is none.
            StoreDamagedError: where its metadata is not what was written.
        """
        facts = read_metadata(path, StoreNotFoundError)
        rows = facts.metadata.rows
        if rows > len(group.table):
            # Another process may have grown both since the group was read.
            group = ViewGroup.at(group.path)
        if rows > len(group.table):
            what = f"{rows} rows, but the group has {len(group.table)}"
            raise damage(path / ZARR, f"the store's metadata is inconsistent: {what}")
        return cls(path, group, facts)

    @property
    def metadata(self) -> StoreMetadata:
        """What the store says about itself."""
        return self.facts.metadata

    @property
    def holds(self) -> Holds:
        """Tokens of a teacher, or pixels of views."""
        return self.facts.kind.holds

    @property
    def codec(self) -> Codec:
        """Turns its records into tokens."""
        return self.facts.codec

    @property
    def shape(self) -> TokenShape:
        """The tokens of one record; `teacher` is the name under which the store was made."""
        return self.metadata.shape

    def writing(self, on_wait: Callable[[], None] | None = None) -> AbstractContextManager[None]:
        """Hold the store for one extraction; waits for another one, after a call of `on_wait`."""
        return locked(self.path, on_wait)

    def missing_rows(self, rows: Rows) -> Rows:
        """Those of the store rows that no complete shard in the ledger holds, ascending.

        A shard whose file is gone or has another size or index than its entry counts as missing.
        """
        entries = self.entries()
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
        for leftover in (self.path / "c").rglob("*.tmp-*"):
            leftover.unlink()
        # Held, for another process may be growing the store's metadata.
        with locked(self.group.path):
            for leftover in self.path.glob("*.tmp-*"):
                leftover.unlink()
        entries = read_ledger(self.path).entries
        found = []
        for shard in range(self.metadata.rows // self._capacity):
            if self._open_listed(shard, entries) is not None:
                continue
            try:
                found.append(LedgerEntry(shard, self.open_shard(shard).verify()))
            except StoreDamagedError:
                continue
        if found:
            self.append(found)
        return tuple(found)

    def commit(self, rows: Rows, seconds: float) -> Commit:
        """Promise that all of the rows are here; `seconds` are added to those of earlier commits.

        Raises:
            StoreIncompleteError: where some are missing.
        """
        # The order makes a kill harmless: records are in shards, shards in the ledger, and the ledger has a copy before
        # the commit promises it. Up to the last write the store serves what the commit before promised.
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
        """The commit, None where the store was never committed.

        Raises:
            StoreDamagedError: where it is not what was written, or was made with other parameters.
        """
        commit = read_commit(self.path)
        if commit is not None:
            self.require_bound(commit)
        return commit

    def require_bound(self, commit: Commit) -> None:
        """Refuse a commit of records that were made with other parameters than the store has.

        Raises:
            StoreDamagedError: where they differ.
        """
        if commit.parameters_sha256 not in ("", self.metadata.parameters_sha256):
            raise damage(
                self.path / COMMIT, "the committed records were made with other parameters"
            )

    def _keep_copies(self) -> None:
        """Copy what grows, and what a version without copies wrote.

        The group's crops and the ledger only gain, so that a copy of earlier contents is right as far as it goes.
        """
        grown = (self.group.path / CROPS, self.path / LEDGER)
        for path in (*grown, self.path / ZARR, self.path / PARAMETERS):
            keep_copy(path)

    def entries(self) -> dict[int, LedgerEntry]:
        """The newest ledger entry of each shard, promised or not."""
        return read_ledger(self.path).entries

    def require(self, plan: ViewPlan) -> Rows:
        """The store row of each plan row, all of them committed and in place.

        Sizes of shards are checked here, their indexes and records when they are read.

        Raises:
            StoreIncompleteError: where the store was not committed, or not for all of these views.
            StoreMismatchError: where the plan's views are other ones.
            StoreDamagedError: where a file is not what was written.
        """
        rows = self.group.rows(plan)
        self.require_rows(rows)
        return rows

    def require_rows(self, rows: Rows) -> None:
        """As `require`, for store rows."""
        promised, newest = self._promised()
        is_view = (self.group.table["scene"] >= 0).reshape(-1, self._capacity)
        shards = rows // self._capacity
        wanted = np.flatnonzero(np.bincount(shards))
        # There may be ten thousand shards: whole ones are looked at no closer than their size.
        known = np.isin(wanted, promised.table[:, 0])
        listed = newest.table[newest.newest]
        listed = listed[np.isin(listed[:, 0], wanted[known])]
        sizes = self._sizes(listed[:, 0])
        whole = (sizes == listed[:, 2]) & (listed[:, 1] >= is_view[listed[:, 0]].sum(axis=1))
        absent = 0 if known.all() else int(np.isin(shards, wanted[~known]).sum())
        for shard, *summary in listed[~whole].tolist():
            # It has gaps, or has gained records that a killed extraction did not enter.
            reader = self.open_shard(shard)
            found = ShardSummary(*summary)
            gained = int(reader.present.sum()) > found.records
            if not (gained or reader.matches(found)) or (reader.present & ~is_view[shard]).any():
                raise reader.damaged("it is not the one in the ledger")
            numbers = rows[shards == shard] - shard * self._capacity
            absent += int((~reader.present[numbers]).sum())
        if absent:
            raise self._incomplete(f"{absent} of {len(rows)} records were not committed")

    def _promised(self) -> tuple[Ledger, Ledger]:
        """The ledger as committed, and as it is now."""
        commit = self.read_commit()
        if commit is None:
            raise self._incomplete("the store was never committed")
        newest = read_ledger(self.path)
        content = newest.content[: commit.ledger_bytes]
        if hashlib.sha256(content).hexdigest() != commit.ledger_sha256:
            raise damage(self.path / LEDGER, "the ledger is not the one that was committed")
        whole = len(content) == len(newest.content)
        return newest if whole else parse_ledger(self.path / LEDGER, content), newest

    def _sizes(self, shards: Rows) -> Rows:
        """The size of each shard's file, bytes."""
        before, after = f"{self.path}/c/", "/0" * len(self.codec.stored_shape)
        sizes = []
        for shard in shards.tolist():
            try:
                # As text: making paths would take longer than all else.
                state = os.stat(f"{before}{shard}{after}", follow_symlinks=False)  # noqa: PTH116
            except (FileNotFoundError, NotADirectoryError):
                raise damage(self.shard_path(shard), "a shard is missing") from None
            sizes.append(state.st_size)
        return np.array(sizes, np.int64)

    def verify(self, on_shard: Callable[[], None] | None = None) -> tuple[StoreDamagedError, ...]:
        """Read every record of every listed shard; what is wrong, one error a shard."""
        problems = []
        for shard, entry in sorted(self.entries().items()):
            try:
                reader = self.open_shard(shard)
                found = reader.verify()
                # More of them: gained by an extraction that has not entered the shard yet.
                if found != entry.summary and found.records <= entry.records:
                    problems.append(reader.damaged("it is not the shard that was entered"))
            except StoreDamagedError as problem:
                problems.append(problem)
            if on_shard is not None:
                on_shard()
        return tuple(problems)

    def shard_path(self, shard: int) -> Path:
        """The file of shard number `shard`."""
        return shard_path(self.path, shard, self.codec)

    @property
    def _capacity(self) -> int:
        return self.metadata.shard_records

    def _by_shard(self, rows: Rows) -> Iterator[tuple[int, Rows]]:
        """Each shard that holds some of `rows`, with these, ascending."""
        ordered = np.unique(rows)
        shards, starts = np.unique(ordered // self._capacity, return_index=True)
        parts: Sequence[npt.NDArray[np.int64]] = np.split(ordered, starts[1:])
        return zip(shards.tolist(), parts, strict=False)

    def open_shard(self, shard: int, expected: ShardSummary | None = None) -> ShardReader:
        """A shard's reader.

        Raises:
            StoreDamagedError: where the file is not a shard of this store, or not the one expected.
        """
        return ShardReader(
            self.shard_path(shard), self._capacity, self.codec.record_bytes, expected
        )

    def _open_listed(self, shard: int, entries: Mapping[int, LedgerEntry]) -> ShardReader | None:
        """The shard's reader if its file is the one in the ledger."""
        if shard not in entries:
            return None
        try:
            reader = self.open_shard(shard)
        except StoreDamagedError:
            return None
        return reader if reader.matches(entries[shard].summary) else None

    def grown_to(self, rows: int) -> "FeatureStore":
        """The store with room for at least so many rows."""
        if rows <= self.metadata.rows:
            return self
        # Growth is a larger number of rows in zarr.json and nothing else. The new rows have no shards yet, so they
        # count as missing, and the commit of before still promises the shards that it named.
        # Held and read again, for another process may have grown it further.
        with locked(self.group.path):
            facts = read_metadata(self.path, StoreNotFoundError)
            if rows > facts.metadata.rows:
                facts = replace(facts, metadata=replace(facts.metadata, rows=rows))
                write_metadata(self.path, facts)
        return replace(self, facts=facts)

    def _incomplete(self, what: str) -> StoreIncompleteError:
        return StoreIncompleteError(what, where=self.path, remedy=EXTRACT)
