"""Run all checks of all stores, in order."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pipeline.cache.verify.files import check_records, check_structure, present_rows
from pipeline.cache.verify.pixels import check_masks, check_pixels
from pipeline.cache.verify.report import (
    Check,
    CheckName,
    Depth,
    SkippedError,
    StoreChecks,
    VerifyReport,
    run_check,
)
from pipeline.cache.verify.teachers import (
    TokenComparison,
    check_probe,
    find_teacher,
    forget_teachers,
)
from pipeline.cache.verify.views import GroupViews, check_drawing, spread
from pipeline.config import ExperimentConfig
from pipeline.plan import find_dataset
from pipeline.reporter import Reporter, Silent
from rsmtdf_core.arrays import Rows
from rsmtdf_core.cache.catalogue import StoreEntry, find_entry, read_catalogue
from rsmtdf_core.scenes.find import Dataset
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.teachers.teacher import Teacher


@dataclass(frozen=True, slots=True)
class _Amounts:
    """The extent of the checks: views to render (None: all), views to recompute, whether to read records."""

    rendered: int | None
    computed: int
    records: bool


_AMOUNTS: dict[Depth, _Amounts] = {
    "quick": _Amounts(16, 4, records=False),
    "normal": _Amounts(64, 16, records=True),
    "deep": _Amounts(None, 128, records=True),
}
_DRAWN = 64


def verify(
    cache_folder: Path,
    stores: Sequence[str] = (),
    config: ExperimentConfig | None = None,
    depth: Depth = "normal",
    reporter: Reporter | None = None,
) -> VerifyReport:
    """Check stores of a cache without writing to it or downloading weights.

    Args:
        cache_folder: the cache.
        stores: the stores to check, in the forms of `find_entry`; by default all.
        config: provides the scenes and the teachers; without it, checks that need them are skipped.
        depth: the extent of the checks.
        reporter: shows progress.

    Raises:
        StoreNotFoundError: If there is no cache, or no such store.
        DataError: If the config's data do not match its manifest.
    """
    began = time.perf_counter()
    catalogue = read_catalogue(cache_folder)
    named = {entry.path: entry for entry in (find_entry(catalogue, text) for text in stores)}
    entries = list(named.values()) if stores else list(catalogue.stores)
    dataset = None
    if config is not None:
        dataset = find_dataset(config)
    views = _views_of(dataset)
    try:
        checked = tuple(
            StoreChecks(
                store=entry.key,
                checks=tuple(
                    _Checks(entry, views, config, _AMOUNTS[depth], reporter or Silent()).run()
                ),
            )
            for entry in entries
        )
    finally:
        forget_teachers()
    return VerifyReport(cache=cache_folder, stores=checked, seconds=time.perf_counter() - began)


def _views_of(dataset: Dataset | None) -> Callable[[ViewGroup], GroupViews]:
    """Return a function that builds a group's views once for all of its stores."""
    views_by_group: dict[Path, GroupViews] = {}

    def views(group: ViewGroup) -> GroupViews:
        if dataset is None:
            raise SkippedError("give --config")
        if group.path not in views_by_group:
            views_by_group[group.path] = GroupViews(group, dataset)
        return views_by_group[group.path]

    return views


@dataclass
class _Checks:
    """The checks of one store, with the data that several of them share."""

    entry: StoreEntry
    views_of: Callable[[ViewGroup], GroupViews]
    config: ExperimentConfig | None
    amounts: _Amounts
    reporter: Reporter
    _broken: bool = field(default=False, init=False)

    def run(self) -> Iterator[Check]:
        """Run the checks in order."""
        structure = run_check("structure", lambda: check_structure(self.store))
        self._broken = structure.status == "failed"
        yield structure
        if self.entry.store is None and not self._broken:
            return  # the store is still empty
        yield run_check("checksums", self._checksums)
        pixels = not self._broken and self.store.holds == "pixels"
        for name, check in (self._pixel_checks if pixels else self._token_checks).items():
            yield run_check(name, self._on_sound(check))

    @property
    def _pixel_checks(self) -> Mapping[CheckName, Callable[[], str]]:
        return {"replay": self._pixels, "drawing": self._drawing, "masks": self._masks}

    @property
    def _token_checks(self) -> Mapping[CheckName, Callable[[], str]]:
        return {
            "replay": self._replay,
            "drawing": self._drawing,
            "probe": lambda: check_probe(self.store, self._teacher()),
            "features": self._features,
            "alignment": self._alignment,
        }

    @cached_property
    def store(self) -> FeatureStore:
        """The store, opened again so that its errors are complete."""
        if not self.entry.problem and self.entry.store is None:
            raise SkippedError("the store is empty: it has no metadata yet")
        return FeatureStore.open(self.entry.path, ViewGroup.at(self.entry.path.parent))

    @cached_property
    def rows(self) -> Rows:
        """The store rows that have a record."""
        rows = present_rows(self.store)
        if not len(rows):
            raise SkippedError("the store has no records")
        return rows

    @cached_property
    def comparison(self) -> TokenComparison:
        """A comparison of some records with the teacher."""
        teacher = self._teacher()
        views = self.views_of(self.store.group)
        return TokenComparison(
            self.store, views, teacher, self.rows, self.amounts.computed, self.reporter
        )

    def _checksums(self) -> str:
        if not self.amounts.records:
            raise SkippedError("omitted by --quick")
        return check_records(self.store, self.reporter)

    def _replay(self) -> str:
        views = self.views_of(self.store.group)
        return views.check_replay(self.rows, self.amounts.rendered, self.reporter)

    def _pixels(self) -> str:
        views = self.views_of(self.store.group)
        return check_pixels(self.store, views, self.rows, self.amounts.rendered, self.reporter)

    def _drawing(self) -> str:
        return check_drawing(self.store.group, spread(self.rows, _DRAWN))

    def _masks(self) -> str:
        views = self.views_of(self.store.group)
        return check_masks(self.store, views, self.rows, self._config())

    def _features(self) -> str:
        return self.comparison.check_features()

    def _alignment(self) -> str:
        return self.comparison.check_alignment()

    def _teacher(self) -> Teacher:
        return find_teacher(self.store, self._config())

    def _config(self) -> ExperimentConfig:
        if self.config is None:
            raise SkippedError("give --config")
        return self.config

    def _on_sound(self, check: Callable[[], str]) -> Callable[[], str]:
        def guarded() -> str:
            if self._broken:
                raise SkippedError("the structure is damaged")
            return check()

        return guarded
