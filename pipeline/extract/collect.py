"""Reclaim disk space from a cache, without deleting stores in use.

Pinned stores, stores that an unfinished run reads, and stores that another process is writing are
always kept, regardless of the limits. A store is first hidden by a rename, so it is never visible in
part.
"""

import os
import re
import shutil
import time
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from rsmtdf_core.cache.catalogue import (
    TRASH,
    Catalogue,
    StoreEntry,
    disk_bytes,
    read_catalogue,
)
from rsmtdf_core.cache.usage import PINS, RUNS, pins, run_path, runs
from rsmtdf_core.errors import ConfigError, StoreError
from rsmtdf_core.settings import Settings
from rsmtdf_core.store.locks import is_locked, locked

# Younger temporary files and empty groups may belong to a running process.
STALE_SECONDS = 3600.0

_TEMPORARY = re.compile(r".+\.tmp-[0-9a-f]{32}")
_DAY = 86400.0
_AGES = {"m": 60.0, "h": 3600.0, "d": _DAY, "w": 7 * _DAY}
_PREFIXES = "KMGT"
_BUSY = "another process is writing it"
_TOO_MUCH = "the stores take more than the limit"


class Deleted(Settings):
    """A file or folder that was deleted, or that a dry run would delete.

    Attributes:
        path: path of the file or folder.
        bytes: its size on disk.
        why: the reason, in words.
    """

    path: Path
    bytes: int
    why: str


class Kept(Settings):
    """A store that exceeds the limits but is kept.

    Attributes:
        path: path of the store.
        why: the reason, in words.
    """

    path: Path
    why: str


class CollectReport(Settings):
    """The result of a collection.

    Attributes:
        deleted: the deleted files and folders.
        kept: stores that exceed the limits but are kept.
        freed: total size on disk of `deleted`, bytes.
        left: total size on disk of the remaining stores, bytes.
        dry: whether this was a dry run.
    """

    deleted: tuple[Deleted, ...]
    kept: tuple[Kept, ...]
    freed: int
    left: int
    dry: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a cache.

    Attributes:
        older_than: maximum time since the last use of a store, seconds; None for no limit.
        max_bytes: maximum size of all stores together, least recently used deleted first; None for no limit.
        unfinished: whether to delete stores that were never committed or are damaged.
        dry: whether to only list the files and folders to delete.
    """

    older_than: float | None = None
    max_bytes: int | None = None
    unfinished: bool = False
    dry: bool = False


def collect(cache: Path, limits: Limits) -> CollectReport:
    """Delete stores that exceed the limits, and leftovers of killed processes.

    Raises:
        StoreError: If there is no cache, it is not writable, or the records of its use are unreadable.
    """
    now = time.time()
    catalogue = read_catalogue(cache)
    deleted: list[Deleted] = []
    kept = []
    left = sum(entry.bytes for entry in catalogue.stores)
    for entry, why in _unwanted(catalogue, limits, now):
        if why == _TOO_MUCH and limits.max_bytes is not None and left <= limits.max_bytes:
            break
        reason = _spared(entry) or _delete_store(entry.path, dry=limits.dry)
        if reason:
            kept.append(Kept(path=entry.path, why=reason))
            continue
        deleted.append(Deleted(path=entry.path, bytes=entry.bytes, why=why))
        left -= entry.bytes
    gone = {store.path: store.bytes for store in deleted}
    for path, why in [*_leavings(catalogue, gone, now), *_empty_groups(catalogue, gone, now)]:
        inside = sum(size for store, size in gone.items() if store.parent == path and limits.dry)
        taken = disk_bytes(path) - inside
        if limits.dry or _remove(path):
            deleted.append(Deleted(path=path, bytes=taken, why=why))
    return CollectReport(
        deleted=tuple(deleted),
        kept=tuple(kept),
        freed=sum(deletion.bytes for deletion in deleted),
        left=left,
        dry=limits.dry,
    )


def _unwanted(catalogue: Catalogue, limits: Limits, now: float) -> Iterator[tuple[StoreEntry, str]]:
    """Yield the stores that exceed the limits, once each: unusable stores, then least recently used ones."""
    seen = set()
    if limits.unfinished:
        for entry in catalogue.stores:
            if entry.state != "committed":
                seen.add(entry.path)
                yield entry, entry.state
    by_use = sorted(
        (entry for entry in catalogue.stores if entry.state == "committed"),
        key=lambda entry: (entry.last_used, entry.key),
    )
    if limits.older_than is not None:
        for entry in by_use:
            if now - entry.last_used > limits.older_than:
                seen.add(entry.path)
                yield entry, f"last used {(now - entry.last_used) / _DAY:.1f} days ago"
    if limits.max_bytes is not None:
        yield from ((entry, _TOO_MUCH) for entry in by_use if entry.path not in seen)


def _spared(entry: StoreEntry) -> str:
    """Return the reason why the store must be kept; empty if there is none."""
    if entry.pins:
        note = entry.pins[0].note
        return f"pinned: {note}" if note else "pinned"
    for run in entry.runs:
        if run.locks:
            return f"an unfinished run reads it: {run.run} on {run.host}"
    return ""


def _delete_store(path: Path, *, dry: bool) -> str:
    """Delete a store and return an empty string, or the reason why it is kept."""
    if dry:
        return _BUSY if is_locked(path) else ""
    try:
        with locked(path, _refuse):
            trash = _out_of_sight(path)
        shutil.rmtree(trash)
    except StoreError:
        return _BUSY
    except FileNotFoundError:
        return "another process has just deleted it"
    except OSError as refused:
        raise _unwritable(path, refused) from None
    return ""


def _refuse() -> None:
    raise StoreError(_BUSY)


def _out_of_sight(path: Path) -> Path:
    trash = path.with_name(f"{TRASH}{uuid.uuid4().hex}")
    path.rename(trash)
    return trash


def _leavings(
    catalogue: Catalogue, gone: Collection[Path], now: float
) -> Iterator[tuple[Path, str]]:
    """Yield trash of killed collections, temporary files of killed writers, and entries of deleted runs."""
    for folder in (catalogue.cache, *catalogue.groups):
        for path in sorted(folder.glob(f"{TRASH}*")):
            if path.is_dir() and not path.is_symlink():
                yield path, "left over from an earlier collection"
    for folder in (catalogue.cache / PINS, catalogue.cache / RUNS, *catalogue.groups):
        for path in _files(folder):
            stale = _TEMPORARY.fullmatch(path.name) and _age(path, now) > STALE_SECONDS
            if stale and not any(parent in gone for parent in path.parents):
                yield path, "left over from a killed process"
    for run in runs(catalogue.cache):
        if run.gone:
            yield run_path(catalogue.cache, run), f"the run was deleted: {run.run}"


def _age(path: Path, now: float) -> float:
    try:
        return now - path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0


def _files(folder: Path) -> Iterator[Path]:
    """Yield all files below the folder except trash, without following links."""
    if folder.is_symlink():
        return
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(TRASH)]
        yield from (Path(root) / name for name in names)


def _empty_groups(
    catalogue: Catalogue, gone: Collection[Path], now: float
) -> Iterator[tuple[Path, str]]:
    """Yield the groups without stores after the deletion of `gone`."""
    occupied = {entry.path.parent for entry in catalogue.stores if entry.path not in gone}
    occupied |= {path.parent for path in catalogue.foreign}
    pinned = {pin.target.partition("/")[0] for pin in pins(catalogue.cache)}
    emptied = {path.parent for path in gone}
    for group in catalogue.groups:
        # A new group without stores may belong to an extraction that is loading its teachers.
        old = group in emptied or _age(group, now) > STALE_SECONDS
        if old and group not in occupied and group.name not in pinned:
            yield group, "a group without stores"


def _remove(path: Path) -> bool:
    """Remove a file, or a folder after hiding it; return False if another process holds it."""
    try:
        if not path.is_dir():
            path.unlink()
        elif path.name.startswith(TRASH):
            shutil.rmtree(path)
        else:
            with locked(path, _refuse):
                trash = _out_of_sight(path)
            shutil.rmtree(trash)
    except (FileNotFoundError, StoreError):
        return False
    except OSError as refused:
        raise _unwritable(path, refused) from None
    return True


def _unwritable(path: Path, refused: OSError) -> StoreError:
    return StoreError(
        f"the cache cannot be changed: {refused.strerror}",
        where=path,
        remedy="run this command as the owner of the cache, on a machine with write access",
    )


def parse_size(text: str) -> int:
    """Parse bytes from "200G", "1.5T" or "500 MB": G and GiB use powers of 1024, GB of 1000.

    Raises:
        ConfigError: If the text is not a size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([KMGT])(i?B)?|B)?\s*", text, re.IGNORECASE)
    if not match:
        raise ConfigError(f"{text!r} is not a size", remedy="write it like 200G, 1.5T or 500 MB")
    number, prefix, unit = match.groups()
    power = _PREFIXES.index(prefix.upper()) + 1 if prefix else 0
    base = 1000 if unit and unit.upper() == "B" else 1024
    return int(float(number) * base**power)


def parse_age(text: str) -> float:
    """Parse seconds from "30d", "12h", "2 w" or "90m".

    Raises:
        ConfigError: If the text is not an age.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([mhdw])\s*", text)
    if not match:
        raise ConfigError(
            f"{text!r} is not an age", remedy="write it like 30d, 12h, 2w or 90m (minutes)"
        )
    return float(match[1]) * _AGES[match[2]]
