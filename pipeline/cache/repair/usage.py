"""Repair of pins and of the entries of runs: what is damaged must not cost a store."""

from pipeline.cache.repair.changes import Changes
from rsmtdf_core.cache.usage import (
    PINS,
    RUNS,
    is_target,
    pin,
    pin_path,
    pin_target,
    read_pin,
    read_run,
    store_key,
    usage_files,
)
from rsmtdf_core.cache_names import GROUP_NAME, STORE_NAME
from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.store.copies import is_there

_PINNED = "all stores are pinned; see `rsmtdf cache unpin`"


def repair_usage(changes: Changes) -> None:
    """Set damaged pins and entries of runs aside, and pin what they may have kept.

    A damaged pin still names its target. Which stores a damaged entry of a run kept is unknown, and so is what was
    pinned where the whole folder is lost: then all stores are pinned.
    """
    notes = [*_repair_pins(changes), *_repair_runs(changes)]
    for note in notes[:1]:
        for store in sorted(changes.cache.glob("*/*")):
            if GROUP_NAME.fullmatch(store.parent.name) and STORE_NAME.fullmatch(store.name):
                _pin(store_key(store), note, changes)


def _repair_pins(changes: Changes) -> list[str]:
    """Keep each target pinned; a note for all stores where it is unknown what was."""
    folder = changes.cache / PINS
    try:
        files = usage_files(folder)
    except StoreDamagedError as damage:
        changes.set_aside(folder, damage.what, f"what was pinned: {_PINNED}")
        return ["the pins were damaged"]
    for path in files:
        try:
            read_pin(path, pin_target(path))
        except StoreDamagedError as damage:
            loss = "the pin's note; the pin stays" if is_target(pin_target(path)) else ""
            changes.set_aside(path, damage.what, loss)
            _pin(pin_target(path), "repaired", changes)
    return []


def _repair_runs(changes: Changes) -> list[str]:
    """Set damaged entries aside; a note for all stores where there were any."""
    folder = changes.cache / RUNS
    try:
        files = usage_files(folder)
    except StoreDamagedError as damage:
        changes.set_aside(folder, damage.what, f"which stores runs read: {_PINNED}")
        return ["the entries of runs were damaged"]
    notes = []
    for path in files:
        try:
            read_run(path)
        except StoreDamagedError as damage:
            changes.set_aside(path, damage.what, f"which stores a run reads: {_PINNED}")
            notes.append("the entry of a run was damaged")
    return notes


def _pin(target: str, note: str, changes: Changes) -> None:
    """Pin what is not pinned: a note that is there stays."""
    if changes.dry or not is_target(target) or is_there(pin_path(changes.cache, target)):
        return
    if (changes.cache / target).is_dir():
        pin(changes.cache, target, note)
