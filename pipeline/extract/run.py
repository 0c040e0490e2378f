"""Stage one: run the teachers once over every view and save their tokens in the cache.

The coordinator (this module) finds missing records, assigns blocks to dask workers, and is the only writer of ledgers
and commits. Workers write whole shards. So a kill at any moment loses only the current blocks.
"""

import shutil
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
from distributed import Client

from pipeline.config import ExperimentConfig
from pipeline.extract.blocks import Block, BlockResult
from pipeline.extract.cluster import open_cluster, run_blocks
from pipeline.extract.parts import (
    Part,
    commit_part,
    complete_parts,
    hold_parts,
    open_parts,
    work_of,
)
from pipeline.extract.producers import producers_of
from pipeline.plan import Experiment, plan_experiment, require_unlabeled, require_views
from pipeline.reporter import Reporter, Silent
from rsmtdf_core.arrays import Rows
from rsmtdf_core.cache.group import grow_group
from rsmtdf_core.errors import ConfigError, StoreError
from rsmtdf_core.files import require_writable_folder
from rsmtdf_core.settings import Settings
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.student.pretrained import fetch_encoder, require_layout
from rsmtdf_core.teachers.weights import fetch_description
from rsmtdf_core.weights.timm_models import fetch_config


class StoreReport(Settings):
    """The features of a teacher in the cache.

    Attributes:
        teacher: name of the teacher.
        path: folder of its store.
        views: number of records of the plan.
        new: number of records that this extraction computed.
        bytes: size of the plan's records.
        seconds: time of this extraction in the teacher's forward passes.
        random_weights: whether the teacher's weights are random.
    """

    teacher: str
    path: Path
    views: int
    new: int
    bytes: int
    seconds: float
    random_weights: bool


class ExtractReport(Settings):
    """The result of an extraction.

    Attributes:
        group: folder of the view plan's stores.
        views: number of views in the plan.
        rendered: number of views that this extraction rendered.
        seconds: total wall time.
        waiting_seconds: time that the teachers waited for pixels or writers, summed over workers.
        stores: a report for each teacher.
    """

    group: Path
    views: int
    rendered: int
    seconds: float
    waiting_seconds: float
    stores: tuple[StoreReport, ...]


def extract(
    config: ExperimentConfig, scheduler: str | None = None, reporter: Reporter | None = None
) -> ExtractReport:
    """Compute all features of a config that are missing in the cache.

    Args:
        config: config of the experiment.
        scheduler: address of a dask scheduler; by default a cluster is started on this machine.
        reporter: shows progress.

    Raises:
        ConfigError: If the config has no teacher, every scene is labeled, or no workers are available.
        TeacherError: If a teacher's weights are unavailable.
        StoreError: If the cache has no space for the features, or contains different ones.
    """
    began = time.perf_counter()
    reporter = reporter or Silent()
    if not producers_of(config):
        unread = (
            f", and {config.method.name} reads no cached views"
            if config.runtime.cache_pixels
            else ""
        )
        raise ConfigError(
            f"the config names no teacher{unread}", remedy="list some under `teachers`"
        )
    config = _absolute(config)
    require_writable_folder(config.runtime.cache_folder)
    for teacher in config.teachers:
        fetch_description(teacher)
    with reporter.status("reading the scenes"):
        experiment, group = _planned(config)
    for sentence in experiment.cautions:
        reporter.warn(sentence)
    # An impossible student is refused before the teachers run.
    with suppress(OSError):
        fetch_config(config.student.encoder)
    require_layout(config.student, config.views.crop, experiment.dataset.manifest.image_bands)
    rows = group.rows(experiment.plan)
    producers = producers_of(config)
    parts = complete_parts(experiment, producers, rows)
    for part in parts:
        # A repair may have set the sources aside; without them, each training would compare all masks.
        part.producer.finish(experiment, part.store)
    rendered, waiting = 0, 0.0
    done = {part.name for part in parts}
    missing = [producer for producer in producers if producer.name not in done]
    for producer in missing:
        producer.require(config.views.crop, remote=scheduler is not None)
    _fetch_student(config, reporter)
    if missing:
        with open_cluster(config.runtime, scheduler) as client, ExitStack() as locks:
            incomplete = open_parts(client, experiment, group, missing)
            hold_parts(incomplete, experiment, rows, locks, reporter)
            rendered, waiting = _extract_parts(
                client, experiment, group, rows, incomplete, reporter
            )
            for part in incomplete:
                commit_part(part, experiment, rows)
        parts += incomplete
    order = [producer.name for producer in producers]
    parts.sort(key=lambda part: order.index(part.name))
    return ExtractReport(
        group=group.path,
        views=len(rows),
        rendered=rendered,
        seconds=time.perf_counter() - began,
        waiting_seconds=waiting,
        stores=tuple(_store_report(part, len(rows)) for part in parts),
    )


def _planned(config: ExperimentConfig) -> tuple[Experiment, ViewGroup]:
    """Plan the experiment, and extend its group to a row for each view."""
    cache = config.runtime.cache_folder
    experiment = plan_experiment(config)
    require_unlabeled(experiment)
    require_views(experiment)
    while True:
        group = grow_group(cache, experiment.plan)
        again = experiment.drawn_again(group)
        if again.plan.fingerprint == experiment.plan.fingerprint:
            return experiment, group
        # Another extraction has added other pairs since the plan was drawn.
        experiment = again


def _absolute(config: ExperimentConfig) -> ExperimentConfig:
    """Return the config with absolute paths, because workers may have other working directories."""
    cache = config.runtime.cache_folder.absolute()
    teachers = [
        teacher
        if teacher.weights in ("hub", "random")
        else teacher.model_copy(
            update={"weights": str(Path(teacher.weights).expanduser().absolute())}
        )
        for teacher in config.teachers
    ]
    return config.model_copy(
        update={
            "runtime": config.runtime.model_copy(update={"cache": cache}),
            "teachers": tuple(teachers),
        }
    )


def _fetch_student(config: ExperimentConfig, reporter: Reporter) -> None:
    """Download the student's weights too, because only this stage may use the network."""
    try:
        fetch_encoder(config.student)
    except OSError as failure:
        reason = str(failure).splitlines()[0]
        reporter.warn(f"the student's weights, which training needs, are unavailable: {reason}")


def _extract_parts(
    client: Client,
    experiment: Experiment,
    group: ViewGroup,
    rows: Rows,
    parts: list[Part],
    reporter: Reporter,
) -> tuple[int, float]:
    """Run all blocks; return the number of rendered views and the seconds that teachers waited."""
    blocks = _blocks(group, rows, parts)
    wanted = sum(len(block.wanted) for block in blocks)
    _check_space(group.path, parts)
    work = work_of(client, experiment, parts)
    waiting = 0.0

    def keep(result: BlockResult) -> None:
        nonlocal waiting
        waiting += result.seconds["waiting"]
        # Before the ledgers, because training cannot use a record without the checksum of its crop.
        group.set_crops(result.rows, result.crcs)
        for part in parts:
            part.store.append(result.entries.get(part.name, []))
            part.seconds += result.seconds.get(part.name, 0.0)

    with reporter.bar("extract", len(rows), len(rows) - wanted) as bar:
        run_blocks(client, work, blocks, experiment.config.runtime.device, bar, keep)
    for part in parts:
        part.new = len(part.missing)
    return wanted, waiting


def _blocks(group: ViewGroup, rows: Rows, parts: list[Part]) -> list[Block]:
    """Return the ranges of store rows with missing records, as whole shards of every teacher."""
    size = max(part.store.metadata.shard_records for part in parts)
    plan_rows = np.full(len(group.table), -1, np.int64)
    plan_rows[rows] = np.arange(len(rows))
    missing = {}
    for part in parts:
        missing[part.name] = np.zeros(len(group.table), np.bool_)
        missing[part.name][part.missing] = True
    starts = np.unique(np.concatenate([part.missing for part in parts]) // size) * size
    return [
        Block(
            range(start, start + size),
            plan_rows[start : start + size],
            {name: absent[start : start + size] for name, absent in missing.items()},
        )
        for start in starts.tolist()
    ]


def _check_space(folder: Path, parts: list[Part]) -> None:
    needed = sum(len(part.missing) * part.store.codec.typical_bytes for part in parts)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StoreError(
            f"the features need {needed / 2**30:.1f} GiB, the disk has {free / 2**30:.1f} GiB left",
            where=folder,
            remedy="lower views.unlabeled_views, or set runtime.cache to a larger disk",
        )


def _store_report(part: Part, views: int) -> StoreReport:
    return StoreReport(
        teacher=part.name,
        path=part.store.path,
        views=views,
        new=part.new,
        bytes=views * part.store.codec.typical_bytes,
        seconds=part.seconds,
        random_weights=part.store.metadata.random_weights,
    )
