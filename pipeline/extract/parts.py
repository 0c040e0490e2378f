"""One store's share of an extraction: is it whole already, and if not, what does it miss?"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np
from distributed import Client

from pipeline.extract.blocks import TeacherFacts, Work
from pipeline.extract.cluster import machine_workers, run_facts, run_sample, run_task
from pipeline.pixel_store import (
    find_pixels,
    pixels_codec,
    pixels_identity,
    pixels_shape,
    record_masks,
    rows_of_changed_masks,
)
from pipeline.plan import Experiment
from pipeline.reporter import Reporter
from rsmtdf_core.arrays import Rows
from rsmtdf_core.cache.creation import create_store
from rsmtdf_core.cache.find import find_store
from rsmtdf_core.errors import StoreError, StoreMismatchError
from rsmtdf_core.store.codecs import Tokens
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.teachers.teacher import PROBE_TOLERANCE, declared_identity, probe_difference
from rsmtdf_core.views.records import PIXELS

_MEBIBYTE = 2**20
_WAITING = "another extraction is writing here: waiting until it has ended"


@dataclass
class Part:
    """One store's share of an extraction.

    Attributes:
        teacher: whose tokens it holds; None for the pixels.
        store: the store.
        missing: store rows that are to be made.
        seconds: spent in the teacher's forward passes.
        new: records that were made.
    """

    teacher: TeacherSettings | None
    store: FeatureStore
    missing: Rows
    seconds: float = 0.0
    new: int = 0

    @property
    def name(self) -> str:
        """The teacher's name in the config."""
        return PIXELS if self.teacher is None else self.teacher.name


def complete_parts(experiment: Experiment, rows: Rows) -> list[Part]:
    """The stores that are committed and whole for this plan, with the checksum of every crop.

    No teacher is loaded.
    """
    config = experiment.config

    def tokens(teacher: TeacherSettings) -> FeatureStore:
        cache, identity = config.runtime.cache_folder, declared_identity(teacher, config.views.crop)
        return find_store(cache, experiment.plan, identity, teacher.declared_codec)

    wanted: list[tuple[TeacherSettings | None, Callable[[], FeatureStore]]] = [
        (teacher, partial(tokens, teacher)) for teacher in config.teachers
    ]
    if config.runtime.cache_pixels:
        wanted.append((None, partial(find_pixels, experiment)))
    parts = []
    for teacher, find in wanted:
        try:
            store = find()
        except StoreMismatchError:
            if teacher is not None:
                raise
            continue
        except StoreError:
            continue
        if not len(_unknown_crops(store.group, rows)):
            parts.append(Part(teacher, store, rows[:0]))
    return parts


def _unknown_crops(group: ViewGroup, rows: Rows) -> Rows:
    """Rows of which nothing tells what pixels the teachers saw.

    A killed extraction leaves such records: whole shards of which the coordinator never heard. They are
    made again, since a crop rendered now would prove nothing about the pixels of that time.
    """
    unknown: Rows = rows[group.crops(rows) == 0]
    return unknown


def open_parts(
    client: Client, experiment: Experiment, group: ViewGroup, rows: Rows, done: list[Part]
) -> list[Part]:
    """Make or open the stores that are not whole yet."""
    config = experiment.config
    names = {part.name for part in done}
    parts = [
        Part(teacher, _teacher_store(client, experiment, group, teacher, len(rows)), rows[:0])
        for teacher in config.teachers
        if teacher.name not in names
    ]
    if config.runtime.cache_pixels and PIXELS not in names:
        parts.append(Part(None, _pixels_store(experiment, group), rows[:0]))
    return parts


def hold_parts(
    parts: list[Part], experiment: Experiment, rows: Rows, locks: ExitStack, reporter: Reporter
) -> None:
    """Hold the stores for writing and see what each misses."""
    parts[0].store.group.sweep()
    # In one order, so that two extractions never wait for each other.
    for part in sorted(parts, key=lambda part: part.store.path.name):
        locks.enter_context(part.store.writing(lambda: reporter.say(_WAITING)))
        part.store.adopt()
        missing = [part.store.missing_rows(rows), _unknown_crops(part.store.group, rows)]
        if part.teacher is None:
            missing.append(rows_of_changed_masks(experiment, part.store, rows))
        part.missing = np.unique(np.concatenate(missing))


def commit_part(part: Part, experiment: Experiment, rows: Rows) -> None:
    """Promise that all of the plan's records are there."""
    if part.teacher is None:
        record_masks(experiment, part.store)
    part.store.commit(rows, part.seconds)


def work_of(client: Client, experiment: Experiment, parts: list[Part]) -> Work:
    """What the blocks of these parts share."""
    pixels = [part.store.path for part in parts if part.teacher is None]
    return Work(
        dataset=experiment.dataset,
        plan=experiment.plan,
        teachers=tuple((part.teacher, part.store.path) for part in parts if part.teacher),
        batch=experiment.config.runtime.teacher_batch,
        machine_workers=machine_workers(client),
        pixels=pixels[0] if pixels else None,
    )


def _teacher_store(
    client: Client, experiment: Experiment, group: ViewGroup, teacher: TeacherSettings, views: int
) -> FeatureStore:
    runtime = experiment.config.runtime
    crop = experiment.config.views.crop
    facts: TeacherFacts = run_task(client, run_facts, teacher, crop, runtime.device)

    def sample() -> Tokens:
        chosen = np.linspace(0, views - 1, sample_views(views)).astype(int).tolist()
        work = work_of(client, experiment, [])
        return np.asarray(run_task(client, run_sample, work, teacher, chosen, runtime.device))

    store = create_store(
        group,
        facts.identity,
        facts.shape,
        teacher.declared_codec,
        sample,
        probe=facts.probe,
        random_weights=teacher.weights == "random",
        shard_bytes=runtime.shard_mebibytes * _MEBIBYTE,
    )
    drift = probe_difference(store.metadata.probe, facts.probe)
    if drift > PROBE_TOLERANCE:
        raise StoreMismatchError(
            f"teacher {teacher.name} computes something else than when its store was made: its output on the "
            f"probe image differs by {drift:.2%}, more than {PROBE_TOLERANCE:.2%}",
            where=store.path,
            remedy="use the libraries of that time, or another runtime.cache",
        )
    return store


def sample_views(views: int) -> int:
    """To how many of the views a new store's codec is fitted: few beside all that follow."""
    return min(views, max(4, min(32, views // 16)))


def _pixels_store(experiment: Experiment, group: ViewGroup) -> FeatureStore:
    shape = pixels_shape(experiment)
    return create_store(
        group,
        pixels_identity(experiment),
        shape,
        pixels_codec(),
        lambda: np.empty((0, *shape.record_shape), np.uint8),
        shard_bytes=experiment.config.runtime.shard_mebibytes * _MEBIBYTE,
    )
