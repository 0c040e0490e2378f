"""Repair one store: metadata, ledger, commit and shards (tests: test_remedies.py).

They are repaired in this order, because each depends on the one before.
"""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from pipeline.cache.repair.changes import Changes
from pipeline.pixel_store import read_masks
from pipeline.reporter import Reporter
from rsmtdf_core.cache_names import COMMIT, LEDGER, MASKS
from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.files import read_file
from rsmtdf_core.store.commit import Commit, read_commit_file
from rsmtdf_core.store.copies import copy_of, is_there
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.store.ledger import Ledger, parse_ledger, sound_lines
from rsmtdf_core.store.locks import LOCK
from rsmtdf_core.store.metadata import ZARR, StoreFacts, has_records, read_facts
from rsmtdf_core.store.parameters import PARAMETERS
from rsmtdf_core.store.store import FeatureStore

_COPIED = (ZARR, PARAMETERS, LEDGER, COMMIT)
_EXTRACT_ALL = "all of its records: extract them again"
_EXTRACT = "its records: extraction repeats them"


def sound_facts(path: Path) -> tuple[StoreFacts, Path, Path] | None:
    """Return a store's facts and the files they were read from (originals or copies), or None.

    Records can be decoded only with the parameters that encoded them, so both files must match each other
    and the commit.
    """
    bound = {
        commit.parameters_sha256 for commit in _commits(path).values() if commit.parameters_sha256
    }
    for metadata in (path / ZARR, copy_of(path / ZARR)):
        for parameters in (path / PARAMETERS, copy_of(path / PARAMETERS)):
            try:
                facts = read_facts(path, metadata, parameters, StoreDamagedError)
            except StoreDamagedError:
                continue
            if not bound or facts.metadata.parameters_sha256 in bound:
                return facts, metadata, parameters
    return None


def repair_store(path: Path, group: ViewGroup, changes: Changes, reporter: Reporter) -> None:
    """Repair the store at `path`, or set it aside.

    Args:
        path: the store's folder.
        group: its group, repaired.
        changes: records and takes the steps.
        reporter: shows progress over the shards.
    """
    if not is_there(path / ZARR) and not has_records(path):
        return  # a killed extraction left it without data
    sound = sound_facts(path)
    if sound is None:
        why = f"{ZARR} or {PARAMETERS} is damaged, and so is the copy"
        changes.set_aside(path, why, _EXTRACT_ALL)
        return
    facts, *sources = sound
    if facts.metadata.rows > len(group.table):
        why = f"it has {facts.metadata.rows} rows, but its group has {len(group.table)}"
        changes.set_aside(path, why, _EXTRACT_ALL)
        return
    for name, source in zip((ZARR, PARAMETERS), sources, strict=True):
        if source == path / name:
            changes.copy(source)
        else:
            changes.restore(path / name, "the file is damaged")
    store = FeatureStore(path, group, facts)
    ledger = _repair_ledger(path, changes)
    _repair_commit(store, ledger, changes)
    _repair_shards(store, ledger, changes, reporter)
    _set_foreign_aside(store, changes)
    if is_there(path / MASKS):
        try:
            read_masks(path / MASKS)
        except StoreDamagedError as damage:
            loss = "the digests of the masks: labeled views are rendered and compared instead"
            changes.set_aside(path / MASKS, damage.what, loss)


def _commits(path: Path) -> dict[Path, Commit]:
    """Return the commit and its copy, without a damaged one."""
    sound = {}
    for file in (path / COMMIT, copy_of(path / COMMIT)):
        try:
            sound[file] = read_commit_file(file)
        except StoreDamagedError:
            continue
    return sound


def _repair_ledger(path: Path, changes: Changes) -> Ledger:
    """Restore the ledger from its copy and the sound lines that were added later."""
    file = path / LEDGER
    if not is_there(file) and not is_there(copy_of(file)):
        if is_there(path / "c"):
            loss = "the measurements of the records; extraction records intact shards again"
            changes.rebuild(file, b"", "the file and its copy are missing", loss)
        return parse_ledger(file, b"")
    content, copy = _content(file), _content(copy_of(file))
    copy = sound_lines(copy)
    sound = copy + sound_lines(content[len(copy) :]) if copy else sound_lines(content)
    complete = content[: content.rfind(b"\n") + 1]
    if file.is_file() and not file.is_symlink() and sound == complete:
        if not copy or not complete.startswith(_content(copy_of(file))):
            changes.copy(file)
    else:
        why = "lines are damaged or missing"
        lost = sum(len(line) for line in complete.splitlines(keepends=True)) > len(sound)
        loss = "the measurements of some shards; extraction records them again" if lost else ""
        changes.rebuild(file, sound, why, loss)
    return parse_ledger(file, sound)


def _content(file: Path) -> bytes:
    try:
        return read_file(file, StoreDamagedError)
    except StoreDamagedError:
        return b""


def _repair_commit(store: FeatureStore, ledger: Ledger, changes: Changes) -> None:
    """Keep, restore or set aside the commit; it is valid if the ledger begins with the committed lines."""
    path = store.path / COMMIT
    if not is_there(path) and not is_there(copy_of(path)):
        return
    sound = [file for file, commit in _commits(store.path).items() if _holds(store, ledger, commit)]
    if path in sound:
        changes.copy(path)
        return
    if sound:
        changes.restore(path, "it is not the commit of this store")
        return
    loss = "the time that extraction took; extraction commits again"
    for file in (path, copy_of(path)):
        if is_there(file):
            changes.set_aside(file, "it is damaged, or its ledger lines are lost", loss)


def _holds(store: FeatureStore, ledger: Ledger, commit: Commit) -> bool:
    promised = ledger.content[: commit.ledger_bytes]
    return (
        commit.parameters_sha256 in ("", store.metadata.parameters_sha256)
        and commit.rows <= store.metadata.rows
        and hashlib.sha256(promised).hexdigest() == commit.ledger_sha256
    )


def _repair_shards(
    store: FeatureStore, ledger: Ledger, changes: Changes, reporter: Reporter
) -> None:
    """Verify every record; set damaged shards aside."""
    shards = store.metadata.rows // store.metadata.shard_records
    for path, why in list(_blocking(store, shards)):
        changes.set_aside(path, why, _EXTRACT)
    present = [shard for shard in range(shards) if _is_reachable(store, shard)]
    with (
        reporter.bar(f"checksums {store.path.name}", len(present)) as bar,
        ThreadPoolExecutor(os.cpu_count() or 1) as pool,
    ):
        for shard, why in zip(
            present, pool.map(lambda n: _damage(store, ledger, n), present), strict=True
        ):
            if why:
                changes.set_aside(store.shard_path(shard), why, _EXTRACT)
            bar.advance()
    for shard in sorted(set(ledger.entries) - set(present)):
        if shard < shards:
            changes.missing(store.shard_path(shard), "the shard is missing", _EXTRACT)


def _damage(store: FeatureStore, ledger: Ledger, shard: int) -> str:
    """Describe the damage of a shard; empty if it is sound."""
    try:
        reader = store.open_shard(shard)
        summary = reader.verify()
    except StoreDamagedError as damage:
        return damage.what
    rows = shard * store.metadata.shard_records + np.flatnonzero(reader.present)
    if (store.group.table["scene"][rows] < 0).any():
        return "it has records without a view"
    entry = ledger.entries.get(shard)
    # A shard may have more records than its entry if the extraction was killed between the two writes.
    if entry is not None and summary != entry.summary and summary.records <= entry.records:
        return "it is not the shard recorded in the ledger"
    return ""


def _is_reachable(store: FeatureStore, shard: int) -> bool:
    """Return whether a shard's path exists, below real folders."""
    path = store.shard_path(shard)
    parents = [folder for folder in path.parents if store.path in folder.parents]
    return all(_is_folder(folder) for folder in parents) and is_there(path)


def _blocking(store: FeatureStore, shards: int) -> Iterator[tuple[Path, str]]:
    """Yield each path that should be a folder of shards but is not, from the top."""
    top = store.path / "c"
    if is_there(top) and not _is_folder(top):
        yield top, "this is not a folder"
        return
    for shard in range(shards):
        path = store.shard_path(shard)
        for folder in [parent for parent in reversed(path.parents) if top in parent.parents]:
            if is_there(folder) and not _is_folder(folder):
                yield folder, "this is not a folder"
                break


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _set_foreign_aside(store: FeatureStore, changes: Changes) -> None:
    """Move foreign files out of the store's folder."""
    copies = (copy_of(Path(name)).name for name in _COPIED)
    kept = {LOCK, "c", *_COPIED, *copies, *store.facts.kind.files}
    shards = store.metadata.rows // store.metadata.shard_records
    for item in sorted(store.path.iterdir()):
        if item.name not in kept and ".tmp-" not in item.name:
            changes.set_aside(item, "it does not belong to a store")
    top = store.path / "c"
    for item in sorted(top.iterdir()) if _is_folder(top) else ():
        number = int(item.name) if item.name.isdecimal() else shards
        if (number >= shards or str(number) != item.name) and ".tmp-" not in item.name:
            changes.set_aside(item, "it does not belong to a store")
