"""Import stores from an export into a cache, whole or in part.

Everything is checked before it enters the cache: paths when `export.json` is read, each file's digest after the
download. A store's shards come first, its ledger and its commit last. So a killed import leaves no committed
store, and the next import resumes it.
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
from rsmtdf_core.files import atomic_path, copy_file, require_writable_folder, sync_file
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
    """Copy the stores of an export into the cache; files that the cache already has are not fetched.

    Args:
        source: a path, or an address like https://host/folder or s3://bucket/folder.
        cache: the cache's folder; created if it does not exist.
        teacher: import only the stores of this teacher's name.
        views: numbers of the views to import; the shards that hold them are fetched whole. None: all.
        reporter: shows progress.

    Raises:
        StoreNotFoundError: If there is no export, or it has no such stores or views.
        StoreMismatchError: If the cache has a different store or group under the same name.
        StoreDamagedError: If a file differs from the exported one.
    """
    reporter = reporter or Silent()
    require_writable_folder(cache)
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
            parts = [(store, _offered(store, views, listing, remote.address)) for store in stores]
        except StoreDamagedError as wrong:
            raise StoreDamagedError(
                f"the export is damaged: {wrong.what}", where=source, remedy=export_again(source)
            ) from None
        groups_here = {name: adopt_group(cache, group) for name, group in staged.items()}
        reports = [
            _import_store(
                remote, listing, store, entries, groups_here[store.path.parent.name], reporter
            )
            for store, entries in parts
        ]
    return TransferReport(
        stores=names,
        views=sum(report.views for report in reports),
        files=sum(report.files for report in reports),
        bytes=sum(report.bytes for report in reports),
        there=sum(report.there for report in reports),
    )


def _read_listing(remote: Remote) -> Listing:
    content = remote.read(EXPORT, MAX_BYTES)
    if content is None:
        raise StoreNotFoundError(
            f"this is not an export: it has no {EXPORT}",
            where=remote.address,
            remedy=f"name the folder of an export; or {export_again(remote.address)}",
        )
    return parse_listing(content, remote.at(EXPORT))


def _chosen(listing: Listing, teacher: str | None, source: str) -> tuple[str, ...]:
    teachers = {name: _teacher(name) for name in listing.stores}
    names = tuple(name for name in teachers if teacher in (None, teachers[name]))
    if not names:
        known = ", ".join(sorted(set(teachers.values()))) or "none"
        raise StoreNotFoundError(
            f"the export has no store of teacher {teacher}; its teachers: {known}", where=source
        )
    return names


def _teacher(name: str) -> str:
    match = STORE_NAME.fullmatch(name.partition("/")[2])
    assert match is not None
    return match["teacher"]


def _stage(remote: Remote, listing: Listing, names: tuple[str, ...], staging: Path) -> None:
    """Fetch the small files, so that they are checked before the cache changes."""
    groups = sorted({name.partition("/")[0] for name in names})
    paths = [f"{group}/{file}" for group in groups for file in GROUP_FILES]
    paths += [f"{name}/{file}" for name in names for file in STORE_FILES]
    jobs = [partial(_fetch, remote, listing.files[path], staging / path) for path in paths]
    side_by_side(jobs, "", Silent())


def _offered(
    store: FeatureStore, views: range | None, listing: Listing, address: str
) -> list[LedgerEntry]:
    """Return the chosen shards of a staged store, checked against its commit and the listing."""
    store.require_rows(_NO_ROWS)
    shards = store.metadata.rows // store.metadata.shard_records
    entries = chosen_entries(store, views)
    for entry in entries:
        file = listing.files.get(shard_name(store, entry.shard)) if entry.shard < shards else None
        if file is None or file.bytes != entry.summary.bytes:
            raise StoreDamagedError(
                f"{EXPORT} and the ledger disagree on shard {entry.shard} of {store_key(store.path)}",
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
        raise StoreMismatchError("the store's folder is a symbolic link", where=path)
    with writing(path):
        path.mkdir(exist_ok=True)

    def busy() -> None:
        raise StoreError(
            "another process is writing to this store", where=path, remedy="wait until it ends"
        )

    with locked(path, busy):
        store = _same_store(path, staged, group)
        before = store.entries()
        wanted = [entry for entry in entries if not _holds(store, before.get(entry.shard), entry)]
        jobs = [
            partial(
                _fetch_shard, remote, listing.files[shard_name(staged, entry.shard)], store, entry
            )
            for entry in wanted
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
    """Open the cache's store, grown to the staged store's rows; create it if it is missing."""
    if not is_there(path / ZARR) and not has_records(path):
        # The metadata comes last: without it the folder is not a store.
        for name in (PARAMETERS, ZARR):
            copy_file(staged.path / name, copy_of(path / name))
            copy_file(staged.path / name, path / name)
        return FeatureStore.open(path, group)
    store = FeatureStore.open(path, group)
    # The number of rows may grow, and the probe may differ by rounding between machines.
    alike = replace(staged.metadata, rows=store.metadata.rows, probe=store.metadata.probe)
    changed = list(differences(asdict(store.metadata), asdict(alike)))
    if changed:
        raise StoreMismatchError(
            f"the cache has a different store under this name: {'; '.join(changed[:3])}",
            where=path,
            remedy="import into another folder with --cache",
        )
    if staged.metadata.rows <= store.metadata.rows:
        return store
    metadata = replace(store.metadata, rows=staged.metadata.rows)
    write_metadata(path, replace(store.facts, metadata=metadata))
    return FeatureStore.open(path, group)


def _holds(store: FeatureStore, current: LedgerEntry | None, offered: LedgerEntry) -> bool:
    """Return whether the store already has a shard; a damaged shard is fetched again.

    Raises:
        StoreMismatchError: If each side has records that the other lacks.
    """
    if current is None:
        return False
    try:
        whole = store.open_shard(current.shard).matches(current.summary)
    except StoreDamagedError:
        whole = False
    if not whole or current.records >= offered.records:
        return whole
    capacity = store.metadata.shard_records
    rows = slice(current.shard * capacity, (current.shard + 1) * capacity)
    if offered.records < int((store.group.table["scene"][rows] >= 0).sum()):
        raise StoreMismatchError(
            f"shard {current.shard} has other views in the cache than in the export",
            where=store.path,
            remedy="import into another folder with --cache",
        )
    return False


def _fetch_shard(
    remote: Remote, file: FileEntry, store: FeatureStore, entry: LedgerEntry
) -> int | None:
    """Fetch a shard; return the number of bytes, or None if the cache already had it."""
    path = store.shard_path(entry.shard)
    size = _fetch(remote, file, path)
    if not store.open_shard(entry.shard).matches(entry.summary):
        raise StoreDamagedError(
            "the shard differs from its entry in the export's ledger",
            where=remote.at(file.path),
            remedy=export_again(remote.address),
        )
    return size


def _fetch(remote: Remote, file: FileEntry, target: Path) -> int | None:
    """Fetch a file and move it to `target` after checking its bytes.

    Raises:
        StoreDamagedError: If the bytes differ from the listing.
    """
    if _is(target, file):
        return None
    with atomic_path(target) as temporary:
        remote.get(file.path, temporary, file.bytes)
        sync_file(temporary)
        if not _is(temporary, file):
            raise StoreDamagedError(
                "the fetched file differs from the exported one",
                where=remote.at(file.path),
                remedy=f"import again; or {export_again(remote.address)}",
            )
    return file.bytes


def _is(path: Path, file: FileEntry) -> bool:
    if not path.is_file() or path.stat().st_size != file.bytes:
        return False
    return file_sha256(path) == file.sha256


def _commit(store: FeatureStore, staged: FeatureStore, new: list[LedgerEntry]) -> None:
    """Commit all records; the new ones count with the seconds of their extraction."""
    commit = staged.read_commit()
    assert commit is not None
    if not new:
        return
    views = np.flatnonzero(store.group.table["scene"][: store.metadata.rows] >= 0)
    present = np.setdiff1d(views, store.missing_rows(views), assume_unique=True)
    share = sum(entry.records for entry in new) / commit.views
    store.commit(present, commit.seconds * share)
