"""Repair of pins and of the entries of runs: what is damaged must not cost a store."""

from pathlib import Path

from pipeline.cache.repair.changes import Changes
from rsmtdf_core.cache.usage import PINS, RUNS, pin, read_pin, read_run, store_key
from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.store.names import GROUP_NAME, STORE_NAME


def repair_usage(changes: Changes) -> None:
    """Set damaged pins and entries of runs aside, and pin what they may have kept.

    A damaged pin still names its target. Which stores a damaged entry kept is unknown, so all stores are pinned.
    """
    cache = changes.cache
    for path in _files(cache / PINS, changes):
        target = path.stem.replace("+", "/")
        try:
            read_pin(path, target)
        except StoreDamagedError as damage:
            changes.set_aside(path, damage.what, "the pin's note; the pin stays")
            _pin(target, "repaired", changes)
    damaged = False
    for path in _files(cache / RUNS, changes):
        try:
            read_run(path)
        except StoreDamagedError as damage:
            damaged = True
            changes.set_aside(path, damage.what, "which stores a run reads; all stores are pinned")
    if damaged:
        for store in cache.glob("*/*"):
            if GROUP_NAME.fullmatch(store.parent.name) and STORE_NAME.fullmatch(store.name):
                _pin(store_key(store), "a run's entry was damaged", changes)


def _pin(target: str, note: str, changes: Changes) -> None:
    if not changes.dry and (changes.cache / target).is_dir():
        pin(changes.cache, target, note)


def _files(folder: Path, changes: Changes) -> list[Path]:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        changes.set_aside(folder, "this is not a folder", "its entries")
        return []
    return sorted(folder.glob("*.json"))
