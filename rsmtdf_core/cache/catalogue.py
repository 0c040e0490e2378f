"""The catalogue of a cache: every store with its state, size, age and users.

Reading it writes no file, no damage is fatal, and symbolic links are not followed, so every path in the
catalogue is inside the cache.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rsmtdf_core.cache.usage import (
    PINS,
    RUNS,
    Pin,
    Use,
    pins,
    runs,
    store_key,
)
from rsmtdf_core.cache_names import COMMIT, GROUP_NAME, STORE_NAME
from rsmtdf_core.errors import ConfigError, StoreError, StoreNotFoundError
from rsmtdf_core.store.commit import Commit
from rsmtdf_core.store.copies import copy_of, is_there
from rsmtdf_core.store.group import CROPS, SCENES, VIEWS, ViewGroup
from rsmtdf_core.store.locks import LOCK
from rsmtdf_core.store.metadata import ZARR, has_records
from rsmtdf_core.store.store import FeatureStore

StoreState = Literal["committed", "unfinished", "damaged"]

TRASH = ".trash-"
SET_ASIDE = "set-aside"
"""Folder in a cache for the damaged files that a repair moved."""

_COPIED = (ZARR, SCENES, VIEWS, CROPS)
_GROUP_FILES = {LOCK, *_COPIED, *(copy_of(Path(name)).name for name in _COPIED)}
_BLOCK_BYTES = 512


@dataclass(frozen=True, slots=True)
class StoreEntry:
    """One store on disk.

    Attributes:
        path: its folder, `<cache>/<group>/<store>`.
        teacher: the teacher's name at extraction.
        codec: the codec's label.
        state: "damaged" if it cannot be opened; only `verify` checks its records.
        problem: the damage; empty unless it is damaged.
        views: number of committed records.
        rows: number of views in its group.
        bytes: size on disk, in whole blocks.
        seconds: time of its extraction, summed over all commits.
        last_used: when it was committed or a run last read it, seconds since the epoch. (Most machines
            do not keep access times.)
        random_weights: whether its teacher was never trained.
        certificate: the measurements of the stored tokens (JSON).
        pins: the pins that protect it, including its group's.
        runs: the existing runs that read it.
        store: the open store; None if it is damaged.
    """

    path: Path
    teacher: str
    codec: str
    state: StoreState
    problem: str
    views: int
    rows: int
    bytes: int
    seconds: float
    last_used: float
    random_weights: bool
    certificate: dict[str, Any]
    pins: tuple[Pin, ...]
    runs: tuple[Use, ...]
    store: FeatureStore | None = field(repr=False, compare=False)

    @property
    def key(self) -> str:
        """`<group>/<store>`."""
        return store_key(self.path)

    @property
    def group(self) -> str:
        """The name of the group's folder."""
        return self.path.parent.name

    @property
    def label(self) -> str:
        """The teacher's name, marked if its weights are random."""
        return f"{self.teacher} (RANDOM WEIGHTS)" if self.random_weights else self.teacher

    def opened(self) -> FeatureStore:
        """Return the open store.

        Raises:
            StoreNotFoundError: If the store is damaged.
        """
        if self.store is None:
            raise StoreNotFoundError(f"the store is {self.state}: {self.problem}", where=self.path)
        return self.store


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The content of a cache.

    Attributes:
        cache: its folder.
        groups: folders of all groups, by name.
        stores: all stores, by group and name.
        foreign: files and folders that do not belong to a cache, including symbolic links.
    """

    cache: Path
    groups: tuple[Path, ...]
    stores: tuple[StoreEntry, ...]
    foreign: tuple[Path, ...]


def read_catalogue(cache: Path) -> Catalogue:
    """Read the catalogue of a cache.

    Raises:
        StoreNotFoundError: If there is no such folder.
        StoreDamagedError: If the entry of a run is damaged.
    """
    if not cache.is_dir():
        raise StoreNotFoundError(
            "this is not a cache", where=cache, remedy="name a cache with --cache or RSMTDF_CACHE"
        )
    all_pins, existing_runs = pins(cache), [run for run in runs(cache) if not run.gone]
    groups, stores, foreign = [], [], []
    for item in _items(cache):
        if _is_folder(item) and GROUP_NAME.fullmatch(item.name):
            groups.append(Path(item.path))
        elif item.name not in (PINS, RUNS, LOCK, SET_ASIDE) and not _is_trash(item):
            foreign.append(Path(item.path))
    for group_path in groups:
        group = _open_group(group_path)
        rows = 0 if isinstance(group, StoreError) else int((group.table["scene"] >= 0).sum())
        for item in _items(group_path):
            if _is_folder(item) and STORE_NAME.fullmatch(item.name):
                stores.append(_entry(Path(item.path), group, rows, all_pins, existing_runs))
            elif item.name not in _GROUP_FILES and not _is_trash(item):
                foreign.append(Path(item.path))
    return Catalogue(cache, tuple(groups), tuple(stores), tuple(foreign))


def find_entry(catalogue: Catalogue, text: str) -> StoreEntry:
    """Return the store that `text` identifies: its folder, the start of its name, or its teacher.

    Raises:
        StoreNotFoundError: If there is no such store.
        ConfigError: If there are several; the message lists them.
    """
    path = Path(text)
    matchers = (
        lambda entry: path.is_dir() and entry.path.resolve() == path.resolve(),
        lambda entry: text in (entry.path.name, entry.key),
        lambda entry: entry.teacher == text,
        lambda entry: entry.path.name.startswith(text) or entry.key.startswith(text),
    )
    for matches in matchers:
        entries = [entry for entry in catalogue.stores if matches(entry)]
        if len(entries) == 1:
            return entries[0]
        if entries:
            raise ConfigError(
                f"{text!r} may mean {len(entries)} stores: {', '.join(entry.key for entry in entries)}",
                where=catalogue.cache,
                remedy="give more of the name, or the group too: views-.../NAME",
            )
    keys = ", ".join(entry.key for entry in catalogue.stores) or "none"
    raise StoreNotFoundError(
        f"no store {text!r}; the cache has: {keys}", where=catalogue.cache, remedy="rsmtdf cache ls"
    )


def disk_bytes(path: Path) -> int:
    """Return the size on disk of a file, or of a folder with its content, without following links.

    Files that are deleted in the meantime do not count.
    """
    try:
        total = path.lstat().st_blocks * _BLOCK_BYTES
        for item in os.scandir(path) if path.is_dir() and not path.is_symlink() else ():
            if item.is_dir(follow_symlinks=False):
                total += disk_bytes(Path(item.path))
            else:
                total += item.stat(follow_symlinks=False).st_blocks * _BLOCK_BYTES
    except FileNotFoundError:
        return 0
    return total


def _items(folder: Path) -> Iterator["os.DirEntry[str]"]:
    yield from sorted(os.scandir(folder), key=lambda item: item.name)


def _is_folder(item: "os.DirEntry[str]") -> bool:
    return item.is_dir(follow_symlinks=False)


def _is_trash(item: "os.DirEntry[str]") -> bool:
    return item.name.startswith(TRASH) and _is_folder(item)


def _open_group(path: Path) -> ViewGroup | StoreError:
    try:
        return ViewGroup.at(path)
    except StoreError as problem:
        return problem


def _entry(
    path: Path,
    group: ViewGroup | StoreError,
    rows: int,
    all_pins: tuple[Pin, ...],
    existing_runs: list[Use],
) -> StoreEntry:
    parts = STORE_NAME.fullmatch(path.name)
    assert parts is not None
    opened = _open_store(path, group)
    store, commit = (None, None) if isinstance(opened, StoreError) else opened
    state: StoreState = "unfinished" if commit is None else "committed"
    key = store_key(path)
    readers = tuple(run for run in existing_runs if key in run.stores)
    written = path / COMMIT if (path / COMMIT).is_file() else path
    return StoreEntry(
        path=path,
        teacher=parts["teacher"],
        codec=parts["codec"],
        state="damaged" if isinstance(opened, StoreError) else state,
        problem=opened.what if isinstance(opened, StoreError) else "",
        views=commit.views if commit else 0,
        rows=rows,
        bytes=disk_bytes(path),
        seconds=commit.seconds if commit else 0.0,
        last_used=max([written.stat().st_mtime, *(run.last_used for run in readers)]),
        random_weights=store is not None and store.metadata.random_weights,
        certificate=commit.certificate if commit else {},
        pins=tuple(pin for pin in all_pins if pin.covers(key)),
        runs=readers,
        store=store,
    )


def _open_store(
    path: Path, group: ViewGroup | StoreError
) -> tuple[FeatureStore | None, Commit | None] | StoreError:
    if isinstance(group, StoreError):
        return group
    if not is_there(path / ZARR) and not has_records(path):
        # An import or extraction was killed before it wrote the metadata.
        return None, None
    try:
        store = FeatureStore.open(path, group)
        return store, store.read_commit()
    except StoreError as problem:
        return problem
