"""Repair of one store: metadata, ledger, commit and shards (tests: test_remedies.py).

The order matters: each of these needs the one before.
"""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from pipeline.cache.repair.changes import Changes
from pipeline.pixel_store import MASKS, read_masks
from pipeline.reporter import Reporter
from rsmtdf_core.cache_names import COMMIT, LEDGER
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
_EXTRACT = "its records: extraction makes them again"


def sound_facts(path: Path) -> tuple[StoreFacts, Path, Path] | None:
    """A store's facts, and the files that they were read from: the originals or their copies.

    Records can be decoded only with the parameters that they were encoded with, so both files must fit each other
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
        changes: takes the steps.
        reporter: shows progress over the shards.
    """
    if not is_there(path / ZARR) and not has_records(path):
        return  # a killed extraction began it
    found = sound_facts(path)
    if found is None:
        why = f"{ZARR} or {PARAMETERS} is damaged, and so is the copy"
        changes.set_aside(path, why, _EXTRACT_ALL)
        return
    facts, *sources = found
    if facts.metadata.rows > len(group.table):
        why = f"it has {facts.metadata.rows} rows, and the group has {len(group.table)}"
        changes.set_aside(path, why, _EXTRACT_ALL)
        return
    for name, source in zip((ZARR, PARAMETERS), sources, strict=True):
        if source == path / name:
            changes.copy(source)
        else:
            changes.restore(path / name, "it is not the file that was written")
    store = FeatureStore(path, group, facts)
    ledger = _repair_ledger(path, changes)
    _repair_commit(store, ledger, changes)
    _repair_shards(store, ledger, changes, reporter)
    if store.holds == "pixels" and is_there(path / MASKS):
        try:
            read_masks(path / MASKS)
        except StoreDamagedError as damage:
            loss = "which masks the pixels show: extraction renders labeled views again"
            changes.set_aside(path / MASKS, damage.what, loss)
    _set_foreign_aside(store, changes)


def _commits(path: Path) -> dict[Path, Commit]:
    """The commit and its copy, as far as they are sound."""
    sound = {}
    for file in (path / COMMIT, copy_of(path / COMMIT)):
        try:
            sound[file] = read_commit_file(file)
        except StoreDamagedError:
            continue
    return sound


def _repair_ledger(path: Path, changes: Changes) -> Ledger:
    """The ledger's copy with the sound lines that were added since."""
    file = path / LEDGER
    if not is_there(file) and not is_there(copy_of(file)):
        if is_there(path / "c"):
            loss = "what was measured of the records; extraction enters whole shards again"
            changes.rebuild(file, b"", "the file is missing, and there is no copy", loss)
        return parse_ledger(file, b"")
    content, copy = _content(file), _content(copy_of(file))
    copy = sound_lines(copy)
    sound = copy + sound_lines(content[len(copy) :]) if copy else sound_lines(content)
    complete = content[: content.rfind(b"\n") + 1]
    if file.is_file() and not file.is_symlink() and sound == complete:
        if not copy or not complete.startswith(_content(copy_of(file))):
            changes.copy(file)
    else:
        why = "lines are not entries, or are missing"
        lost = sum(len(line) for line in complete.splitlines(keepends=True)) > len(sound)
        loss = "what was measured of some shards; extraction enters them again" if lost else ""
        changes.rebuild(file, sound, why, loss)
    return parse_ledger(file, sound)


def _content(file: Path) -> bytes:
    try:
        return read_file(file, StoreDamagedError)
    except StoreDamagedError:
        return b""


def _repair_commit(store: FeatureStore, ledger: Ledger, changes: Changes) -> None:
    """A promise is sound where the ledger begins with what it rests on."""
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
            changes.set_aside(file, "it is damaged, or rests on lines that are lost", loss)


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
    """Read every record; damaged shards are set aside."""
    shards = store.metadata.rows // store.metadata.shard_records
    for path, why in list(_blocking(store, shards)):
        changes.set_aside(path, why, _EXTRACT)
    there = [shard for shard in range(shards) if _is_reachable(store, shard)]
    with (
        reporter.bar(f"checksums {store.path.name}", len(there)) as bar,
        ThreadPoolExecutor(os.cpu_count() or 1) as pool,
    ):
        for shard, why in zip(
            there, pool.map(lambda n: _damage(store, ledger, n), there), strict=True
        ):
            if why:
                changes.set_aside(store.shard_path(shard), why, _EXTRACT)
            bar.advance()
    for shard in sorted(set(ledger.entries) - set(there)):
        if shard < shards:
            changes.missing(store.shard_path(shard), "a shard is missing", _EXTRACT)


def _damage(store: FeatureStore, ledger: Ledger, shard: int) -> str:
    """What is wrong with a shard, empty where it is sound."""
    try:
        reader = store.open_shard(shard)
        summary = reader.verify()
    except StoreDamagedError as damage:
        return damage.what
    rows = shard * store.metadata.shard_records + np.flatnonzero(reader.present)
    if (store.group.table["scene"][rows] < 0).any():
        return "it has records that stand for no view"
    entry = ledger.entries.get(shard)
    # A shard may have gained records that its extraction did not enter before it was killed.
    if entry is not None and summary != entry.summary and summary.records <= entry.records:
        return "it is not the shard that was entered in the ledger"
    return ""


def _is_reachable(store: FeatureStore, shard: int) -> bool:
    """Whether there is something in a shard's place, and real folders above it."""
    path = store.shard_path(shard)
    parents = [folder for folder in path.parents if store.path in folder.parents]
    return all(_is_folder(folder) for folder in parents) and is_there(path)


def _blocking(store: FeatureStore, shards: int) -> Iterator[tuple[Path, str]]:
    """What is in the place of the shards' folders and is not a folder, from the top."""
    top = store.path / "c"
    if is_there(top) and not _is_folder(top):
        yield top, "this is not a folder"
        return
    for shard in range(shards):
        path = store.shard_path(shard)
        for folder in [one for one in reversed(path.parents) if top in one.parents]:
            if is_there(folder) and not _is_folder(folder):
                yield folder, "this is not a folder"
                break


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _set_foreign_aside(store: FeatureStore, changes: Changes) -> None:
    """Move what a store does not have, at the level of its own files."""
    kept = {LOCK, "c", MASKS, *_COPIED, *(copy_of(Path(name)).name for name in _COPIED)}
    if store.holds == "tokens":
        kept.remove(MASKS)
    shards = store.metadata.rows // store.metadata.shard_records
    for item in sorted(store.path.iterdir()):
        if item.name not in kept and ".tmp-" not in item.name:
            changes.set_aside(item, "this is not of a store")
    top = store.path / "c"
    for item in sorted(top.iterdir()) if _is_folder(top) else ():
        number = int(item.name) if item.name.isdecimal() else shards
        if (number >= shards or str(number) != item.name) and ".tmp-" not in item.name:
            changes.set_aside(item, "this is not of a store")
