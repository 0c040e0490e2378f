"""Take stores from an export into a cache, whole or in part.

Everything is checked before it takes its place: paths when `export.json` is read, each file's digest when it
has come. A store's shards come first, its ledger and its commit last, so one that was killed on the way is not
committed, and goes on when the import is started again.
"""

import tempfile
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.cache.transfer.groups import adopt_group
from pipeline.cache.transfer.listing import (
    EXPORT,
    GROUP_FILES,
    MAX_BYTES,
    STORE_FILES,
    FileEntry,
    Listing,
    export_again,
    parse_listing,
)
from pipeline.cache.transfer.parts import TransferReport, chosen_entries, shard_name, side_by_side
from pipeline.cache.transfer.remote import Remote
from pipeline.reporter import Reporter, Silent
from rsmtdf_core.cache.usage import store_key
from rsmtdf_core.cache_names import STORE_NAME
from rsmtdf_core.errors import (
    StoreDamagedError,
    StoreError,
    StoreMismatchError,
    StoreNotFoundError,
)
from rsmtdf_core.files import atomic_path, copy_file, sync_file
from rsmtdf_core.fingerprints import differences, file_sha256
from rsmtdf_core.refusals import writing
from rsmtdf_core.store.copies import copy_of, is_there
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.store.ledger import LedgerEntry
from rsmtdf_core.store.locks import locked
from rsmtdf_core.store.metadata import ZARR, has_records, write_metadata
from rsmtdf_core.store.parameters import PARAMETERS
from rsmtdf_core.store.store import FeatureStore

_NO_ROWS = np.empty(0, np.int64)


def import_stores(
    source: str,
    cache: Path,
    teacher: str | None = None,
    views: range | None = None,
    reporter: Reporter | None = None,
) -> TransferReport:
    """Copy the stores of an export into the cache; what is here already is not fetched.

    Args:
        source: a path, or an address like https://host/folder or s3://bucket/folder.
        cache: the cache's folder, made if it is not there.
        teacher: take only the stores that were made under this teacher's name.
        views: numbers of the views to take; the shards that hold them are taken whole. None: all.
        reporter: shows progress.

    Raises:
        StoreNotFoundError: where there is no export, or nothing in it of what was asked for.
        StoreMismatchError: where the cache holds something else under the same name.
        StoreDamagedError: where a file is not what was exported.
    """
    reporter = reporter or Silent()
    remote = Remote(source)
    listing = _read_listing(remote)
    names = _chosen(listing, teacher, source)
    with tempfile.TemporaryDirectory(prefix="rsmtdf-import-") as folder:
        staging = Path(folder)
        _stage(remote, listing, names, staging)
        groups = {name.partition("/")[0] for name in names}
        try:
            staged = {name: ViewGroup.at(staging / name) for name in sorted(groups)}
            stores = [
                FeatureStore.open(staging / name, staged[name.partition("/")[0]]) for name in names
            ]
            parts = [(store, _promised(store, views, listing, remote.address)) for store in stores]
        except StoreDamagedError as wrong:
            raise StoreDamagedError(
                f"the export is damaged: {wrong.what}", where=source, remedy=export_again(source)
            ) from None
        here = {name: adopt_group(cache, group) for name, group in staged.items()}
        reports = [
            _import_store(remote, listing, store, entries, here[store.path.parent.name], reporter)
            for store, entries in parts
        ]
    return TransferReport(
        stores=names,
        views=sum(one.views for one in reports),
        files=sum(one.files for one in reports),
        bytes=sum(one.bytes for one in reports),
        there=sum(one.there for one in reports),
    )


def _read_listing(remote: Remote) -> Listing:
    content = remote.read(EXPORT, MAX_BYTES)
    if content is None:
        raise StoreNotFoundError(
            f"there is no export here: no {EXPORT}",
            where=remote.address,
            remedy=f"name the folder of an export; or {export_again(remote.address)}",
        )
    return parse_listing(content, remote.at(EXPORT))


def _chosen(listing: Listing, teacher: str | None, source: str) -> tuple[str, ...]:
    made_by = {name: _teacher(name) for name in listing.stores}
    names = tuple(name for name in made_by if teacher in (None, made_by[name]))
    if not names:
        there = ", ".join(sorted(set(made_by.values()))) or "none"
        raise StoreNotFoundError(
            f"the export has no store of teacher {teacher}; there are: {there}", where=source
        )
    return names


def _teacher(name: str) -> str:
    found = STORE_NAME.fullmatch(name.partition("/")[2])
    assert found is not None
    return found["teacher"]


def _stage(remote: Remote, listing: Listing, names: tuple[str, ...], staging: Path) -> None:
    """Fetch the small files, so that all is checked before the cache is touched."""
    groups = sorted({name.partition("/")[0] for name in names})
    paths = [f"{group}/{file}" for group in groups for file in GROUP_FILES]
    paths += [f"{name}/{file}" for name in names for file in STORE_FILES]
    jobs = [partial(_fetch, remote, listing.files[path], staging / path) for path in paths]
    side_by_side(jobs, "", Silent())


def _promised(
    store: FeatureStore, views: range | None, listing: Listing, address: str
) -> list[LedgerEntry]:
    """The chosen shards of a staged store, checked against its commit, its sizes and the listing."""
    store.require_rows(_NO_ROWS)
    shards = store.metadata.rows // store.metadata.shard_records
    entries = chosen_entries(store, views)
    for entry in entries:
        file = listing.files.get(shard_name(store, entry.shard)) if entry.shard < shards else None
        if file is None or file.bytes != entry.summary.bytes:
            raise StoreDamagedError(
                f"{EXPORT} does not list shard {entry.shard} of {store_key(store.path)} as its ledger does",
                remedy=export_again(address),
            )
    return entries


def _import_store(
    remote: Remote,
    listing: Listing,
    staged: FeatureStore,
    entries: list[LedgerEntry],
    group: ViewGroup,
    reporter: Reporter,
) -> TransferReport:
    path = group.path / staged.path.name
    if path.is_symlink():
        raise StoreMismatchError("a symbolic link stands in the store's place", where=path)
    with writing(path):
        path.mkdir(exist_ok=True)

    def busy() -> None:
        raise StoreError("another process is writing here", where=path, remedy="wait for its end")

    with locked(path, busy):
        store = _same_store(path, staged, group)
        before = store.entries()
        wanted = [entry for entry in entries if not _holds(store, before.get(entry.shard), entry)]
        jobs = [
            partial(_fetch_shard, remote, listing.files[shard_name(staged, one.shard)], store, one)
            for one in wanted
        ]
        fetched = side_by_side(jobs, staged.shape.teacher, reporter)
        store.append(wanted)
        _commit(store, staged, wanted if store.read_commit() else entries)
    return TransferReport(
        stores=(store_key(path),),
        views=sum(entry.records for entry in entries),
        files=sum(size is not None for size in fetched),
        bytes=sum(size or 0 for size in fetched),
        there=len(entries) - sum(size is not None for size in fetched),
    )


def _same_store(path: Path, staged: FeatureStore, group: ViewGroup) -> FeatureStore:
    """The store that is here, as long as the staged one; or the staged one's beginning."""
    if not is_there(path / ZARR) and not has_records(path):
        # Its metadata last: without it the folder is no store.
        for name in (PARAMETERS, ZARR):
            copy_file(staged.path / name, copy_of(path / name))
            copy_file(staged.path / name, path / name)
        return FeatureStore.open(path, group)
    store = FeatureStore.open(path, group)
    # Rows are what grows, and the probe may differ by rounding between machines.
    alike = replace(staged.metadata, rows=store.metadata.rows, probe=store.metadata.probe)
    changed = list(differences(asdict(store.metadata), asdict(alike)))
    if changed:
        raise StoreMismatchError(
            f"the store that is here is another one: {'; '.join(changed[:3])}",
            where=path,
            remedy="import into another folder with --cache",
        )
    if staged.metadata.rows <= store.metadata.rows:
        return store
    metadata = replace(store.metadata, rows=staged.metadata.rows)
    write_metadata(path, replace(store.facts, metadata=metadata))
    return FeatureStore.open(path, group)


def _holds(store: FeatureStore, own: LedgerEntry | None, offered: LedgerEntry) -> bool:
    """Whether the store has a shard already; one that is damaged is taken anew.

    Raises:
        StoreMismatchError: where each side has records that the other lacks.
    """
    if own is None:
        return False
    try:
        whole = store.open_shard(own.shard).matches(own.summary)
    except StoreDamagedError:
        whole = False
    if not whole or own.records >= offered.records:
        return whole
    capacity = store.metadata.shard_records
    rows = slice(own.shard * capacity, (own.shard + 1) * capacity)
    if offered.records < int((store.group.table["scene"][rows] >= 0).sum()):
        raise StoreMismatchError(
            f"shard {own.shard} has other views here than in the export",
            where=store.path,
            remedy="import into another folder with --cache",
        )
    return False


def _fetch_shard(
    remote: Remote, file: FileEntry, store: FeatureStore, entry: LedgerEntry
) -> int | None:
    """Fetch a shard into its place; how many bytes came, None where it was there already."""
    path = store.shard_path(entry.shard)
    size = _fetch(remote, file, path)
    if not store.open_shard(entry.shard).matches(entry.summary):
        raise StoreDamagedError(
            "the shard is not the one in the export's ledger",
            where=remote.at(file.path),
            remedy=export_again(remote.address),
        )
    return size


def _fetch(remote: Remote, file: FileEntry, target: Path) -> int | None:
    """Fetch a file into its place once its bytes are known to be right.

    Raises:
        StoreDamagedError: where they are not.
    """
    if _is(target, file):
        return None
    with atomic_path(target) as temporary:
        remote.get(file.path, temporary, file.bytes)
        sync_file(temporary)
        if not _is(temporary, file):
            raise StoreDamagedError(
                "the file that came is not the one that was exported",
                where=remote.at(file.path),
                remedy=f"import again; or {export_again(remote.address)}",
            )
    return file.bytes


def _is(path: Path, file: FileEntry) -> bool:
    if not path.is_file() or path.stat().st_size != file.bytes:
        return False
    return file_sha256(path) == file.sha256


def _commit(store: FeatureStore, staged: FeatureStore, new: list[LedgerEntry]) -> None:
    """Promise all records that are here; the cost of the new ones is that of their making."""
    commit = staged.read_commit()
    assert commit is not None
    if not new:
        return
    views = np.flatnonzero(store.group.table["scene"][: store.metadata.rows] >= 0)
    here = np.setdiff1d(views, store.missing_rows(views), assume_unique=True)
    share = sum(entry.records for entry in new) / commit.views
    store.commit(here, commit.seconds * share)
