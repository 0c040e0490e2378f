"""Repair a store, a group of views or a cache, while no other process uses it (tests: test_remedies.py)."""

from contextlib import ExitStack
from pathlib import Path

from pipeline.cache.repair.changes import Changes, RepairReport
from pipeline.cache.repair.groups import repair_group
from pipeline.cache.repair.stores import repair_store, sound_facts
from pipeline.cache.repair.usage import repair_usage
from pipeline.config import ExperimentConfig
from pipeline.plan import Experiment, find_dataset, training_scenes
from pipeline.reporter import Reporter, Silent
from rsmtdf_core.cache_names import GROUP_NAME, STORE_NAME
from rsmtdf_core.errors import StoreError, StoreNotFoundError
from rsmtdf_core.store.copies import is_there
from rsmtdf_core.store.locks import LOCK, is_locked, locked, unread
from rsmtdf_core.views.plan import make_plan

_ALL = "all stores of these views: extract their features again"


def repair(
    target: Path,
    config: ExperimentConfig | None = None,
    *,
    dry: bool = False,
    whole: bool = False,
    reporter: Reporter | None = None,
) -> RepairReport:
    """Rebuild files from other files and set damaged files aside; no file is deleted.

    A later extraction completes the store. The store's group is repaired too, because a record is
    meaningless without its view.

    Args:
        target: the folder of a store, a group of views or a cache.
        config: its scenes determine a group's files if the copies are damaged too.
        dry: only list the steps.
        whole: set the whole store aside, even if its files are sound.
        reporter: shows progress.

    Raises:
        StoreNotFoundError: If there is no such folder, or `whole` is set and it is not a store.
        StoreError: If an extraction or a training uses a store of the group.
        StoreMismatchError: If a file has a format that this version does not know.
    """
    target = target.absolute()
    if not is_there(target):
        raise StoreNotFoundError("there is no such folder", where=target, remedy="rsmtdf cache ls")
    groups, cache = _targets(target)
    if whole and target.parent not in groups:
        raise StoreNotFoundError("this is not a store", where=target, remedy="rsmtdf cache ls")
    changes = Changes(cache, dry)
    experiment = None if config is None or not groups else _experiment(config)
    with ExitStack() as locks:
        _hold(cache, changes, locks)
        if target == cache:
            repair_usage(changes)
        if whole:
            _set_store_aside(target, changes, locks)
            groups = []
        for group in groups:
            with ExitStack() as group_locks:
                only = target if target.parent == group else None
                _repair(group, only, changes, experiment, reporter or Silent(), group_locks)
    return RepairReport(cache=cache, actions=tuple(changes.actions), aside=changes.aside, dry=dry)


def _targets(target: Path) -> tuple[list[Path], Path]:
    """Return the groups to repair, and their cache."""
    if STORE_NAME.fullmatch(target.name) and GROUP_NAME.fullmatch(target.parent.name):
        return [target.parent], target.parent.parent
    if GROUP_NAME.fullmatch(target.name):
        return [target], target.parent
    if not target.is_dir():
        raise StoreNotFoundError("this is not a cache", where=target, remedy="name a folder")
    return sorted(path for path in target.iterdir() if GROUP_NAME.fullmatch(path.name)), target


def _repair(
    path: Path,
    only: Path | None,
    changes: Changes,
    experiment: Experiment | None,
    reporter: Reporter,
    locks: ExitStack,
) -> None:
    """Repair a group and its stores, or only one of these."""
    if path.is_symlink() or not path.is_dir():
        changes.set_aside(path, "this is not a folder", _ALL)
        return
    _hold(path, changes, locks)
    stores = []
    for store in sorted(item for item in path.iterdir() if STORE_NAME.fullmatch(item.name)):
        if store.is_symlink() or not store.is_dir():
            changes.set_aside(store, "this is not a folder", "its records: extract them again")
            continue
        stores.append(store)
        _hold(store, changes, locks)
    locks.enter_context(unread(stores))
    sound = filter(None, map(sound_facts, stores))
    rows = max((facts.metadata.rows for facts, *_ in sound), default=0)
    if not stores and not is_there(path / "zarr.json"):
        return  # a killed extraction left it without data
    group = repair_group(path, rows, changes, experiment)
    for store in stores if group is not None else ():
        if only in (None, store):
            assert group is not None
            repair_store(store, group, changes, reporter)


def _set_store_aside(path: Path, changes: Changes, locks: ExitStack) -> None:
    _hold(path.parent, changes, locks)
    if path.is_dir() and not path.is_symlink():
        _hold(path, changes, locks)
        locks.enter_context(unread([path]))
    changes.set_aside(path, "as requested", "all of its records: extract them again")


def _hold(folder: Path, changes: Changes, locks: ExitStack) -> None:
    """Keep writers out of a folder."""

    def refuse() -> None:
        raise StoreError(
            "another process is writing to this folder", where=folder, remedy="wait until it ends"
        )

    lock = folder / LOCK
    if is_there(lock) and (lock.is_symlink() or not lock.is_file()):
        changes.set_aside(lock, "the lock is not a regular file")
    elif changes.dry:
        if is_locked(folder):
            refuse()
        return
    if not changes.dry:
        locks.enter_context(locked(folder, refuse))


def _experiment(config: ExperimentConfig) -> Experiment:
    """Plan the config's experiment without reading the cache."""
    dataset = find_dataset(config)
    labeled, unlabeled = training_scenes(dataset, config)
    plan = make_plan(labeled, unlabeled, config.views_in_force, config.views_seed)
    return Experiment(config, dataset, plan)
