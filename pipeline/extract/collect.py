"""Reclaim disk from a cache, and never what somebody needs.

Spared whatever the limits say: pinned stores, stores that an unfinished run reads, and stores that
another process writes at this moment. A store goes out of sight as a whole, by one rename, before its
first file is deleted.
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

# Younger temporary files and empty groups may belong to a process that is at work.
STALE_SECONDS = 3600.0

_TEMPORARY = re.compile(r".+\.tmp-[0-9a-f]{32}")
_DAY = 86400.0
_AGES = {"m": 60.0, "h": 3600.0, "d": _DAY, "w": 7 * _DAY}
_PREFIXES = "KMGT"
_BUSY = "another process is writing it"
_TOO_MUCH = "the stores take more than the limit"


class Deleted(Settings):
    """Something that was deleted, or would be.

    Attributes:
        path: it.
        bytes: what it took on the disk.
        why: in words.
    """

    path: Path
    bytes: int
    why: str


class Kept(Settings):
    """A store that the limits would have deleted.

    Attributes:
        path: it.
        why: what spared it.
    """

    path: Path
    why: str


class CollectReport(Settings):
    """What a collection did, or would do.

    Attributes:
        deleted: what was deleted.
        kept: stores that were spared although the limits ask for them.
        freed: bytes on disk of what was deleted.
        left: bytes on disk of the stores that remain.
        dry: whether nothing was done.
    """

    deleted: tuple[Deleted, ...]
    kept: tuple[Kept, ...]
    freed: int
    left: int
    dry: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """What may stay.

    Attributes:
        older_than: seconds since its last use after which a store goes; None: it may be of any age.
        max_bytes: of all stores together; those whose last use is longest ago go first. None: any.
        unfinished: whether stores that were never committed, or are damaged, go.
        dry: only tell.
    """

    older_than: float | None = None
    max_bytes: int | None = None
    unfinished: bool = False
    dry: bool = False


def collect(cache: Path, limits: Limits) -> CollectReport:
    """Delete from the cache what the limits ask for, and what killed processes left behind.

    Raises:
        StoreError: where there is no cache, it cannot be written, or who uses it cannot be told.
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
    gone = {one.path: one.bytes for one in deleted}
    for path, why in [*_leavings(catalogue, gone, now), *_empty_groups(catalogue, gone, now)]:
        inside = sum(size for store, size in gone.items() if store.parent == path and limits.dry)
        taken = disk_bytes(path) - inside
        if limits.dry or _remove(path):
            deleted.append(Deleted(path=path, bytes=taken, why=why))
    return CollectReport(
        deleted=tuple(deleted),
        kept=tuple(kept),
        freed=sum(one.bytes for one in deleted),
        left=left,
        dry=limits.dry,
    )


def _unwanted(catalogue: Catalogue, limits: Limits, now: float) -> Iterator[tuple[StoreEntry, str]]:
    """Stores that the limits ask for, each once: the useless first, then the longest unused."""
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
    """Why the store must stay, empty where nothing speaks for it."""
    if entry.pins:
        note = entry.pins[0].note
        return f"pinned: {note}" if note else "pinned"
    for run in entry.runs:
        if run.locks:
            return f"an unfinished run reads it: {run.run} on {run.host}"
    return ""


def _delete_store(path: Path, *, dry: bool) -> str:
    """Delete a store unless another process writes it; why it stays, empty where it is gone."""
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
    """Trash of killed collections, temporary files of killed writers, entries of deleted runs."""
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
    """All files below, trash left out; no link is followed."""
    if folder.is_symlink():
        return
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(TRASH)]
        yield from (Path(root) / name for name in names)


def _empty_groups(
    catalogue: Catalogue, gone: Collection[Path], now: float
) -> Iterator[tuple[Path, str]]:
    """Groups that hold nothing but their own tables once `gone` is."""
    occupied = {entry.path.parent for entry in catalogue.stores if entry.path not in gone}
    occupied |= {path.parent for path in catalogue.foreign}
    pinned = {one.target.partition("/")[0] for one in pins(catalogue.cache)}
    emptied = {path.parent for path in gone}
    for group in catalogue.groups:
        # A new group without stores is that of an extraction which is loading its teachers.
        old = group in emptied or _age(group, now) > STALE_SECONDS
        if old and group not in occupied and group.name not in pinned:
            yield group, "a group without stores"


def _remove(path: Path) -> bool:
    """Remove a file or a folder, the latter out of sight first; False where another holds it."""
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
        remedy="run this as the user who owns the cache, where it is writable",
    )


def parse_size(text: str) -> int:
    """Bytes from "200G", "1.5T" or "500 MB": G and GiB count 1024 to the power, GB counts 1000.

    Raises:
        ConfigError: where it is none.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([KMGT])(i?B)?|B)?\s*", text, re.IGNORECASE)
    if not found:
        raise ConfigError(f"{text!r} is no size", remedy="write it like 200G, 1.5T or 500 MB")
    number, prefix, unit = found.groups()
    power = _PREFIXES.index(prefix.upper()) + 1 if prefix else 0
    base = 1000 if unit and unit.upper() == "B" else 1024
    return int(float(number) * base**power)


def parse_age(text: str) -> float:
    """Seconds from "30d", "12h", "2 w" or "90m".

    Raises:
        ConfigError: where it is none.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([mhdw])\s*", text)
    if not found:
        raise ConfigError(
            f"{text!r} is no age", remedy="write it like 30d, 12h, 2w or 90m (minutes)"
        )
    return float(found[1]) * _AGES[found[2]]
