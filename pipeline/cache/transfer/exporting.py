"""Export stores as plain files, whole or in part; the export can be read as a cache.

A partial store gets its own ledger and commit for the exported shards, so it is complete.
"""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pipeline.cache.transfer.listing import (
    EXPORT,
    GROUP_FILES,
    MAX_BYTES,
    STORE_FILES,
    FileEntry,
    Listing,
    parse_listing,
)
from pipeline.cache.transfer.parts import TransferReport, chosen_entries, shard_name, side_by_side
from pipeline.cache.transfer.remote import Remote
from pipeline.reporter import Reporter, Silent
from rsmtdf_core.cache.usage import store_key
from rsmtdf_core.errors import StoreDamagedError, StoreIncompleteError, StoreMismatchError
from rsmtdf_core.files import atomic_file, copy_file
from rsmtdf_core.fingerprints import file_sha256
from rsmtdf_core.store.commit import Commit, write_commit
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.store.ledger import LedgerEntry, append_ledger, read_ledger
from rsmtdf_core.store.metadata import EXTRACT
from rsmtdf_core.store.store import FeatureStore

# The source of each file of the export, by its path in the export.
Sources = dict[str, Path]


def export_stores(
    stores: Sequence[FeatureStore],
    destination: str,
    views: range | None = None,
    reporter: Reporter | None = None,
) -> TransferReport:
    """Copy committed stores to a folder at any address; stores of an earlier export stay.

    An export is resumable: files that already have the right bytes are not sent again.

    Args:
        stores: the stores to copy.
        destination: a path, or an address like s3://bucket/folder.
        views: numbers of the views to copy; the shards that hold them are copied whole. None: all.
        reporter: shows progress.

    Raises:
        ConfigError: If the destination cannot be written to.
        StoreError: If a store is not committed or damaged, or the destination holds another cache.
    """
    assert stores
    reporter = reporter or Silent()
    remote = Remote(destination)
    remote.require_writable()
    with tempfile.TemporaryDirectory(prefix="rsmtdf-export-") as folder:
        staging = Path(folder)
        small: Sources = {}
        shards: dict[str, tuple[FeatureStore, LedgerEntry]] = {}
        records = 0
        # Stores first: a group that grows in between has more rows than they need, never fewer.
        for store in stores:
            entries = _snapshot(store, staging / store_key(store.path), views, small)
            shards |= {shard_name(store, entry.shard): (store, entry) for entry in entries}
            records += sum(entry.records for entry in entries)
        for group in {store.group.path: store.group for store in stores}.values():
            _snapshot_group(group, staging / group.path.name, small)
        before = _before(remote, reporter)
        listed = [_file_entry(path, source) for path, source in small.items()]
        _require_same_groups(before, Listing.of(listed), destination)
        jobs = [partial(_send_shard, remote, path, *shards[path]) for path in sorted(shards)]
        sent = side_by_side(jobs, "export", reporter)
        files = [entry for entry, _ in sent]
        new = [entry for entry, is_new in sent if is_new]
        for entry in listed:
            if not remote.holds(entry.path, entry.bytes, entry.sha256):
                remote.put(small[entry.path], entry.path)
                new.append(entry)
        names = tuple(store_key(store.path) for store in stores)
        kept = [entry for entry in before.files.values() if entry.store not in (None, *names)]
        groups = [entry for entry in before.files.values() if entry.store is None]
        _send_listing(remote, Listing.of([*groups, *kept, *listed, *files]), staging)
    return TransferReport(
        stores=names,
        views=records,
        files=len(new),
        bytes=sum(entry.bytes for entry in new),
        there=len(files) + len(listed) - len(new),
    )


def _snapshot(
    store: FeatureStore, staging: Path, views: range | None, sources: Sources
) -> list[LedgerEntry]:
    """Copy the store's small files, reduced to the chosen shards; return the entries of these shards."""
    commit = store.read_commit()
    if commit is None:
        raise StoreIncompleteError(
            "only committed stores can be exported", where=store.path, remedy=EXTRACT
        )
    committed = read_ledger(store.path, commit.ledger_bytes).entries
    entries = [entry for entry in chosen_entries(store, views) if entry.shard in committed]
    for name in ("parameters.safetensors", "zarr.json"):
        copy_file(store.path / name, staging / name)
    append_ledger(staging, entries)
    share = sum(entry.records for entry in entries) / commit.views
    reduced = Commit.of(
        store.metadata.rows,
        read_ledger(staging),
        commit.seconds * share,
        store.metadata.parameters_sha256,
    )
    write_commit(staging, reduced)
    sources.update({f"{store_key(store.path)}/{name}": staging / name for name in STORE_FILES})
    return entries


def _snapshot_group(group: ViewGroup, staging: Path, sources: Sources) -> None:
    # Views first: there may be more crops and scenes than the views need, never fewer.
    for name in ("views.npy", "scenes.json", "crops.npy", "zarr.json"):
        copy_file(group.path / name, staging / name)
    sources.update({f"{group.path.name}/{name}": staging / name for name in GROUP_FILES})


def _before(remote: Remote, reporter: Reporter) -> Listing:
    """Read the listing of an earlier export; empty if it is missing or damaged."""
    try:
        content = remote.read(EXPORT, MAX_BYTES)
        return Listing({}) if content is None else parse_listing(content, remote.at(EXPORT))
    except StoreDamagedError as damage:
        reporter.warn(
            f"{damage.what} ({damage.where}): the new listing has only the stores of this export; "
            "export the others again"
        )
        return Listing({})


def _require_same_groups(before: Listing, new: Listing, destination: str) -> None:
    """Refuse to change a group's tables under exported stores that are not sent again."""
    staying = {store.partition("/")[0] for store in before.stores if store not in new.stores}
    for path, entry in new.files.items():
        old = before.files.get(path)
        if entry.store is None and entry.group in staying and old not in (None, entry):
            raise StoreMismatchError(
                f"the existing export has other views: {path} differs",
                where=destination,
                remedy="export all stores of the group together, or to another folder",
            )


def _send_shard(
    remote: Remote, path: str, store: FeatureStore, entry: LedgerEntry
) -> tuple[FileEntry, bool]:
    """Send a shard unless it was sent before; return its entry and whether it was sent now."""
    shard = store.open_shard(entry.shard)
    if shard.verify() != entry.summary:
        raise shard.damaged("it is not the shard recorded in the ledger")
    listed = _file_entry(path, shard.path)
    if remote.holds(path, listed.bytes, listed.sha256):
        return listed, False
    remote.put(shard.path, path)
    return listed, True


def _file_entry(path: str, source: Path) -> FileEntry:
    return FileEntry(path, source.stat().st_size, file_sha256(source))


def _send_listing(remote: Remote, listing: Listing, staging: Path) -> None:
    with atomic_file(staging / EXPORT) as file:
        file.write(listing.to_bytes())
    remote.put(staging / EXPORT, EXPORT)
