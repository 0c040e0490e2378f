"""Check the store's files: all are present, none is foreign, and every record is intact."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.cache.verify.report import SkippedError
from pipeline.reporter import Reporter
from rsmtdf_core.arrays import Rows
from rsmtdf_core.cache_names import COMMIT, LEDGER
from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.store.copies import copy_of, is_there, same_bytes
from rsmtdf_core.store.group import CROPS, SCENES, VIEWS
from rsmtdf_core.store.ledger import LedgerEntry, read_ledger
from rsmtdf_core.store.locks import LOCK, is_locked
from rsmtdf_core.store.metadata import EXTRACT, ZARR
from rsmtdf_core.store.parameters import PARAMETERS
from rsmtdf_core.store.shards import damage
from rsmtdf_core.store.store import FeatureStore

_FILES = {ZARR, PARAMETERS, LEDGER, COMMIT, LOCK}
_COPIES = [copy_of(Path(name)).name for name in (ZARR, PARAMETERS, LEDGER, COMMIT)]
_TEMPORARY = ".tmp-"
_NO_ROWS = np.empty(0, np.int64)


def present_rows(store: FeatureStore) -> Rows:
    """Return the store rows with a record in one of the ledger's shards, ascending.

    Raises:
        StoreDamagedError: If a shard is missing or its index differs from the ledger.
    """
    capacity = store.metadata.shard_records
    parts = [
        shard * capacity + np.flatnonzero(store.open_shard(shard, entry.summary).present)
        for shard, entry in sorted(store.entries().items())
    ]
    return np.concatenate([_NO_ROWS, *parts])


def check_structure(store: FeatureStore) -> str:
    """Check that metadata, ledger, commit and shards agree and that every record has a view.

    Raises:
        StoreDamagedError: If they disagree, or the store contains a foreign file.
    """
    entries = store.entries()
    commit = store.read_commit()
    rows = present_rows(store)
    _check_views(store, rows)
    _check_copies(store)
    leftovers = _check_listing(store, set(entries))
    if commit is None:
        raise SkippedError(f"never committed: {len(rows)} records in {len(entries)} shards")
    store.require_rows(_NO_ROWS)  # the ledger is the committed one
    committed = read_ledger(store.path, commit.ledger_bytes).entries
    records = sum(entry.records for entry in committed.values())
    if records != commit.views or commit.rows > store.metadata.rows:
        raise damage(
            store.path / COMMIT,
            f"the commit has {commit.views} records of {commit.rows} rows, but the ledger has "
            f"{records} records and the store {store.metadata.rows} rows",
        )
    lost = sum(max(0, entry.records - entries[shard].records) for shard, entry in committed.items())
    if lost:
        raise damage(store.path / LEDGER, f"{lost} committed records are no longer in the ledger")
    views = int((store.group.table["scene"] >= 0).sum())
    sentence = (
        f"{commit.views} committed records of the group's {views} views, in {len(committed)} shards"
    )
    if leftovers:
        sentence += (
            f"; {leftovers} temporary files of a killed process, removed by `rsmtdf cache gc` or the "
            "next extraction"
        )
    return sentence


def check_records(store: FeatureStore, reporter: Reporter) -> str:
    """Check the checksum of every record of every shard in the ledger.

    Raises:
        StoreDamagedError: If a shard is damaged; names the first and the number of damaged shards.
    """
    entries = sorted(store.entries().items())
    problems: list[StoreDamagedError] = []
    size = 0
    with (
        reporter.bar(f"checksums {store.path.name}", len(entries)) as bar,
        ThreadPoolExecutor(os.cpu_count() or 1) as pool,
    ):
        for problem, (_, entry) in zip(
            pool.map(partial(_checked, store), entries), entries, strict=True
        ):
            if problem is not None:
                problems.append(problem)
            size += entry.summary.bytes
            bar.advance()
    if problems:
        first = problems[0]
        more = f" (and {len(problems) - 1} more shards)" if len(problems) > 1 else ""
        raise StoreDamagedError(first.what + more, where=first.where, remedy=first.remedy)
    records = sum(entry.records for _, entry in entries)
    return f"{records} records in {len(entries)} shards, {size / 2**20:.1f} MiB"


def _checked(store: FeatureStore, listed: tuple[int, LedgerEntry]) -> StoreDamagedError | None:
    shard, entry = listed
    try:
        reader = store.open_shard(shard)
        # The checksum library holds the interpreter's lock, so the disk is idle without prefetching.
        for number in np.flatnonzero(reader.present).tolist():
            reader.prefetch(number)
        if reader.verify() != entry.summary:
            return reader.damaged("it is not the shard recorded in the ledger")
    except StoreDamagedError as problem:
        return problem
    return None


def _check_views(store: FeatureStore, rows: Rows) -> None:
    group = store.group
    if len(rows) and rows[-1] >= store.metadata.rows:
        raise damage(store.path / LEDGER, f"a shard beyond the store's {store.metadata.rows} rows")
    gaps = rows[group.table["scene"][rows] < 0]
    if len(gaps):
        shard = store.shard_path(int(gaps[0]) // store.metadata.shard_records)
        raise damage(shard, f"{len(gaps)} records have no view, the first at store row {gaps[0]}")
    unknown = rows[group.crops(rows) == 0]
    if len(unknown):
        raise StoreDamagedError(
            f"{len(unknown)} records lack the checksum of their crop, the first at store row {unknown[0]}",
            where=group.path / CROPS,
            remedy=EXTRACT,
        )


def _check_copies(store: FeatureStore) -> None:
    """Refuse copies that differ from their file; stores of earlier versions have no copies."""
    names = {store.path: (ZARR, PARAMETERS), store.group.path: (ZARR, SCENES, VIEWS)}
    for path in (folder / name for folder in names for name in names[folder]):
        if is_there(copy_of(path)) and not same_bytes(path, copy_of(path)):
            raise damage(copy_of(path), f"it differs from {path.name}")


def _check_listing(store: FeatureStore, shards: set[int]) -> int:
    """Refuse foreign files; return the number of temporary files of killed processes."""
    expected = {store.path / name for name in (*_FILES, *_COPIES, *store.facts.kind.files)}
    listed = {store.shard_path(shard) for shard in shards}
    possible = store.metadata.rows // store.metadata.shard_records
    leftovers, foreign = 0, []
    for path in _walk(store.path):
        if path in expected or path in listed:
            continue
        if _TEMPORARY in path.name or _is_shard(store, path, possible):
            leftovers += not is_locked(store.path)
        else:
            foreign.append(path)
    if foreign:
        more = f", and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise damage(foreign[0], f"a file does not belong to a store: {foreign[0].name}{more}")
    return leftovers


def _is_shard(store: FeatureStore, path: Path, possible: int) -> bool:
    """Return whether the path is a shard's, left out of the ledger by a killed extraction."""
    parts = path.relative_to(store.path).parts
    return (
        len(parts) > 1
        and parts[1].isdecimal()
        and int(parts[1]) < possible
        and path == store.shard_path(int(parts[1]))
        and not path.is_symlink()
    )


def _walk(folder: Path) -> Iterator[Path]:
    """Yield every file below the folder, with links but without following them."""
    for item in sorted(os.scandir(folder), key=lambda item: item.name):
        if item.is_dir(follow_symlinks=False):
            yield from _walk(Path(item.path))
        else:
            yield Path(item.path)
