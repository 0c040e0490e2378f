"""Repair pins and the entries of runs, so that damage to them never loses a store."""

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
    """Set damaged pins and entries of runs aside, and pin every store that they may have protected.

    A damaged pin still names its target. The stores of a damaged run entry are unknown, and so are the
    pins if the whole folder is lost: then all stores are pinned.
    """
    notes = [*_repair_pins(changes), *_repair_runs(changes)]
    for note in notes[:1]:
        for store in sorted(changes.cache.glob("*/*")):
            if GROUP_NAME.fullmatch(store.parent.name) and STORE_NAME.fullmatch(store.name):
                _pin(store_key(store), note, changes)


def _repair_pins(changes: Changes) -> list[str]:
    """Keep each target pinned; return a note for all stores if the pinned ones are unknown."""
    folder = changes.cache / PINS
    try:
        files = usage_files(folder)
    except StoreDamagedError as damage:
        changes.set_aside(folder, damage.what, f"the list of pins: {_PINNED}")
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
    """Set damaged entries aside; return a note for all stores for each of them."""
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
    """Pin a target unless it is pinned; an existing note stays."""
    if changes.dry or not is_target(target) or is_there(pin_path(changes.cache, target)):
        return
    if (changes.cache / target).is_dir():
        pin(changes.cache, target, note)
