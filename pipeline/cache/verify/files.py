"""The store's files: nothing is missing, nothing does not belong there, every record as written."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.cache.verify.report import SkippedError
from pipeline.pixel_store import MASKS
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
    """The store rows whose records are in the ledger's shards, ascending.

    Raises:
        StoreDamagedError: where a shard is absent or its index is not the one in the ledger.
    """
    capacity = store.metadata.shard_records
    parts = [
        shard * capacity + np.flatnonzero(store.open_shard(shard, entry.summary).present)
        for shard, entry in sorted(store.entries().items())
    ]
    return np.concatenate([_NO_ROWS, *parts])


def check_structure(store: FeatureStore) -> str:
    """Metadata, ledger, commit and shards agree; the group knows every record's view.

    Raises:
        StoreDamagedError: where they do not, or a foreign file is there.
    """
    entries = store.entries()
    commit = store.read_commit()
    rows = present_rows(store)
    _check_views(store, rows)
    _check_copies(store)
    leftovers = _check_listing(store, set(entries))
    if commit is None:
        raise SkippedError(
            f"never committed: {len(rows)} records in {len(entries)} shards, nothing is promised yet"
        )
    store.require_rows(_NO_ROWS)  # the ledger is the committed one
    promised = read_ledger(store.path, commit.ledger_bytes).entries
    records = sum(entry.records for entry in promised.values())
    if records != commit.views or commit.rows > store.metadata.rows:
        raise damage(
            store.path / COMMIT,
            f"the commit promises {commit.views} records of {commit.rows} rows, the ledger has "
            f"{records} and the store {store.metadata.rows}",
        )
    lost = sum(max(0, one.records - entries[n].records) for n, one in promised.items())
    if lost:
        raise damage(store.path / LEDGER, f"{lost} committed records are no longer in the ledger")
    views = int((store.group.table["scene"] >= 0).sum())
    said = (
        f"{commit.views} committed records of the group's {views} views, in {len(promised)} shards"
    )
    if leftovers:
        said += f"; {leftovers} leftovers of a killed process, which `rsmtdf cache gc` or growth removes"
    return said


def check_records(store: FeatureStore, reporter: Reporter) -> str:
    """Every record of every listed shard has the checksum that was written.

    Raises:
        StoreDamagedError: naming the first damaged shard and how many there are.
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
        more = f" (and {len(problems) - 1} shards more)" if len(problems) > 1 else ""
        raise StoreDamagedError(first.what + more, where=first.where, remedy=first.remedy)
    records = sum(entry.records for _, entry in entries)
    return f"{records} records in {len(entries)} shards, {size / 2**20:.1f} MiB"


def _checked(store: FeatureStore, listed: tuple[int, LedgerEntry]) -> StoreDamagedError | None:
    shard, entry = listed
    try:
        reader = store.open_shard(shard)
        # The checksums' library holds the interpreter: the disk works meanwhile only if asked to.
        for number in np.flatnonzero(reader.present).tolist():
            reader.prefetch(number)
        if reader.verify() != entry.summary:
            return reader.damaged("it is not the shard that was entered in the ledger")
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
        raise damage(
            shard, f"{len(gaps)} records stand for no view, the first at store row {gaps[0]}"
        )
    unknown = rows[group.crops(rows) == 0]
    if len(unknown):
        raise StoreDamagedError(
            f"{len(unknown)} records have no crop's checksum, the first at store row {unknown[0]}",
            where=group.path / CROPS,
            remedy=EXTRACT,
        )


def _check_copies(store: FeatureStore) -> None:
    """Refuse copies from which a damaged file could not be restored; earlier versions kept none."""
    names = {store.path: (ZARR, PARAMETERS), store.group.path: (ZARR, SCENES, VIEWS)}
    for path in (folder / name for folder in names for name in names[folder]):
        if is_there(copy_of(path)) and not same_bytes(path, copy_of(path)):
            raise damage(copy_of(path), f"it is not a copy of {path.name}")


def _check_listing(store: FeatureStore, shards: set[int]) -> int:
    """Refuse what is no file of a store; how many leftovers of killed processes there are."""
    expected = {store.path / name for name in (*_FILES, *_COPIES)}
    if store.holds == "pixels":
        expected.add(store.path / MASKS)
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
        raise damage(foreign[0], f"a file that is not of a store: {foreign[0].name}{more}")
    return leftovers


def _is_shard(store: FeatureStore, path: Path, possible: int) -> bool:
    """Whether a shard's file would be called so: one that a killed extraction did not enter."""
    parts = path.relative_to(store.path).parts
    return (
        len(parts) > 1
        and parts[1].isdecimal()
        and int(parts[1]) < possible
        and path == store.shard_path(int(parts[1]))
        and not path.is_symlink()
    )


def _walk(folder: Path) -> Iterator[Path]:
    """Every file below, links included and not followed."""
    for item in sorted(os.scandir(folder), key=lambda one: one.name):
        if item.is_dir(follow_symlinks=False):
            yield from _walk(Path(item.path))
        else:
            yield Path(item.path)
