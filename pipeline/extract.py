"""Stage one: run the teachers once over every view and keep their tokens in the cache.

The coordinator (this module) decides what is missing, hands out blocks to dask workers, and alone writes the
ledgers and the commit. Workers write whole shards. So a kill at any moment loses the blocks in hand, no more.
"""

import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from distributed import Client

from pipeline.blocks import Block, BlockResult, TeacherFacts, Work
from pipeline.cluster import machine_workers, open_cluster, run_blocks, run_facts, run_sample
from pipeline.config import ExperimentConfig
from pipeline.plan import Experiment, plan_experiment
from pipeline.reporter import Reporter, Silent
from rsmtdf_core.errors import ConfigError, StoreError, StoreMismatchError
from rsmtdf_core.settings import Settings
from rsmtdf_core.store.codecs import Tokens
from rsmtdf_core.store.find import find_store
from rsmtdf_core.store.group import Rows, ViewGroup
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.student.encoder import fetch_encoder
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.teachers.teacher import PROBE_TOLERANCE, declared_identity, probe_difference

_MEBIBYTE = 2**20
_WAITING = "another extraction is writing here: waiting until it has ended"


class StoreReport(Settings):
    """What one teacher has in the cache.

    Attributes:
        teacher: its name.
        path: its store.
        views: records that the plan uses.
        new: how many of them this extraction made.
        bytes: size of those records of the plan.
        seconds: spent in this teacher's forward passes now.
        random_weights: whether its weights are random.
    """

    teacher: str
    path: Path
    views: int
    new: int
    bytes: int
    seconds: float
    random_weights: bool


class ExtractReport(Settings):
    """What an extraction did.

    Attributes:
        group: the folder of the view plan's stores.
        views: views of the plan.
        rendered: views that were rendered now.
        seconds: wall time of the whole.
        waiting_seconds: time in which the teachers waited for pixels or writers, over all workers.
        stores: one for each teacher.
    """

    group: Path
    views: int
    rendered: int
    seconds: float
    waiting_seconds: float
    stores: tuple[StoreReport, ...]


@dataclass
class _Part:
    """One teacher's share of an extraction."""

    settings: TeacherSettings
    store: FeatureStore
    missing: Rows
    seconds: float = 0.0
    new: int = 0


def extract(
    config: ExperimentConfig, scheduler: str | None = None, reporter: Reporter | None = None
) -> ExtractReport:
    """Make all features of a config that the cache does not have yet.

    Args:
        config: the experiment.
        scheduler: address of a dask scheduler; by default a cluster is started on this machine.
        reporter: shows progress.

    Raises:
        ConfigError: where the config names no teacher, or no workers can be had as it says.
        TeacherError: where a teacher's weights cannot be had.
        StoreError: where the cache cannot hold the features, or holds other ones.
    """
    began = time.perf_counter()
    reporter = reporter or Silent()
    if not config.teachers:
        raise ConfigError("the config names no teacher", remedy="list some under `teachers`")
    config = _absolute(config)
    _fetch_student(config, reporter)
    experiment, group = _planned(config)
    rows = group.rows(experiment.plan)
    complete = {one.name: _complete_store(experiment, one) for one in config.teachers}
    parts = [
        _Part(one, store, rows[:0]) for one in config.teachers if (store := complete[one.name])
    ]
    todo = [one for one in config.teachers if complete[one.name] is None]
    rendered, waiting = 0, 0.0
    if todo:
        with open_cluster(config.runtime, scheduler) as client, ExitStack() as locks:
            made = _open_parts(client, experiment, group, todo, rows)
            # In one order, so that two extractions never wait for each other.
            for part in sorted(made, key=lambda part: part.store.path.name):
                locks.enter_context(part.store.writing(lambda: reporter.say(_WAITING)))
                part.store.adopt()
                unknown = _unknown_crops(group, rows)
                part.missing = np.union1d(part.store.missing_rows(rows), unknown)
            parts += made
            rendered, waiting = _extract_parts(client, experiment, group, rows, made, reporter)
            for part in made:
                part.store.commit(rows, part.seconds)
    order = [one.name for one in config.teachers]
    parts.sort(key=lambda part: order.index(part.settings.name))
    return ExtractReport(
        group=group.path,
        views=len(rows),
        rendered=rendered,
        seconds=time.perf_counter() - began,
        waiting_seconds=waiting,
        stores=tuple(_store_report(part, len(rows)) for part in parts),
    )


def _planned(config: ExperimentConfig) -> tuple[Experiment, ViewGroup]:
    """The experiment and its group with a row for each view."""
    cache = config.runtime.cache_folder
    experiment = plan_experiment(config)
    # Another extraction may have brought other pairs since the plan was drawn.
    experiment = experiment.drawn_again(ViewGroup.grown_by(cache, experiment.plan))
    return experiment, ViewGroup.grown_by(cache, experiment.plan)


def _absolute(config: ExperimentConfig) -> ExperimentConfig:
    """The config with whole paths: workers have other working folders."""
    root = config.data.root.absolute()
    cache = config.runtime.cache_folder.absolute()
    teachers = [
        one
        if one.weights in ("hub", "random")
        else one.model_copy(update={"weights": str(Path(one.weights).expanduser().absolute())})
        for one in config.teachers
    ]
    return config.model_copy(
        update={
            "data": config.data.model_copy(update={"root": root}),
            "runtime": config.runtime.model_copy(update={"cache": cache}),
            "teachers": tuple(teachers),
        }
    )


def _fetch_student(config: ExperimentConfig, reporter: Reporter) -> None:
    """Have the student's weights here too: this is the stage that may use the network."""
    try:
        fetch_encoder(config.student)
    except OSError as failure:
        first = str(failure).splitlines()[0]
        reporter.warn(f"the student's weights are not here, and training will need them: {first}")


def _complete_store(experiment: Experiment, teacher: TeacherSettings) -> FeatureStore | None:
    """The teacher's store if it is committed and whole for this plan, with the checksum of every crop.

    The teacher is not loaded.
    """
    config = experiment.config
    identity = declared_identity(teacher, config.views.crop)
    try:
        store = find_store(
            config.runtime.cache_folder, experiment.plan, identity, teacher.declared_codec
        )
    except StoreMismatchError:
        raise
    except StoreError:
        return None
    unknown = _unknown_crops(store.group, store.group.rows(experiment.plan))
    return None if len(unknown) else store


def _unknown_crops(group: ViewGroup, rows: Rows) -> Rows:
    """Rows of which nothing tells what pixels the teachers saw.

    A killed extraction leaves such records: whole shards of which the coordinator never heard. They are
    made again, since a crop rendered now would prove nothing about the pixels of that time.
    """
    unknown: Rows = rows[group.crops(rows) == 0]
    return unknown


def _open_parts(
    client: Client,
    experiment: Experiment,
    group: ViewGroup,
    teachers: list[TeacherSettings],
    rows: Rows,
) -> list[_Part]:
    """Make or open the teachers' stores."""
    config = experiment.config
    work = _work(client, experiment, [])
    chosen = np.linspace(0, len(rows) - 1, sample_views(len(rows))).astype(int).tolist()
    made = []
    for teacher in teachers:
        facts: TeacherFacts = client.submit(
            run_facts, teacher, config.views.crop, config.runtime.device, pure=False
        ).result()

        def sample(teacher: TeacherSettings = teacher) -> Tokens:
            future = client.submit(
                run_sample, work, teacher, chosen, config.runtime.device, pure=False
            )
            return np.asarray(future.result())

        store = FeatureStore.create(
            group,
            facts.identity,
            facts.shape,
            teacher.declared_codec,
            sample,
            probe=facts.probe,
            random_weights=teacher.weights == "random",
            shard_bytes=config.runtime.shard_mebibytes * _MEBIBYTE,
        )
        _require_same_teacher(store, teacher, facts)
        made.append(_Part(teacher, store, rows[:0]))
    return made


def sample_views(views: int) -> int:
    """To how many of the views a new store's codec is fitted: few beside all that follow."""
    return min(views, max(4, min(32, views // 16)))


def _require_same_teacher(
    store: FeatureStore, teacher: TeacherSettings, facts: TeacherFacts
) -> None:
    drift = probe_difference(store.metadata.probe, facts.probe)
    if drift > PROBE_TOLERANCE:
        raise StoreMismatchError(
            f"teacher {teacher.name} computes something else than when its store was made: its output on the "
            f"probe image differs by {drift:.2%}, more than {PROBE_TOLERANCE:.2%}",
            where=store.path,
            remedy="use the libraries of that time, or another runtime.cache",
        )


def _work(client: Client, experiment: Experiment, parts: list[_Part]) -> Work:
    return Work(
        dataset=experiment.dataset,
        plan=experiment.plan,
        teachers=tuple((part.settings, part.store.path) for part in parts),
        batch=experiment.config.runtime.teacher_batch,
        machine_workers=machine_workers(client),
    )


def _extract_parts(
    client: Client,
    experiment: Experiment,
    group: ViewGroup,
    rows: Rows,
    parts: list[_Part],
    reporter: Reporter,
) -> tuple[int, float]:
    """Run all blocks; how many views were rendered, and how long teachers waited."""
    blocks = _blocks(group, rows, parts)
    wanted = sum(len(block.wanted) for block in blocks)
    _check_space(group.path, parts)
    work = _work(client, experiment, parts)
    waiting = 0.0

    def keep(result: BlockResult) -> None:
        nonlocal waiting
        waiting += result.seconds["waiting"]
        # Before the ledgers: a record without its crop's checksum would be of no use to training.
        group.set_crops(result.rows, result.crcs)
        for part in parts:
            part.store.append(result.entries.get(part.settings.name, []))
            part.seconds += result.seconds.get(part.settings.name, 0.0)

    with reporter.bar("extract", len(rows), len(rows) - wanted) as bar:
        run_blocks(client, work, blocks, experiment.config.runtime.device, bar, keep)
    for part in parts:
        part.new = len(part.missing)
    return wanted, waiting


def _blocks(group: ViewGroup, rows: Rows, parts: list[_Part]) -> list[Block]:
    """Ranges of store rows that hold whole shards of every teacher and in which something is missing."""
    size = max(part.store.metadata.shard_records for part in parts)
    plan_rows = np.full(len(group.table), -1, np.int64)
    plan_rows[rows] = np.arange(len(rows))
    missing = {}
    for part in parts:
        missing[part.settings.name] = np.zeros(len(group.table), np.bool_)
        missing[part.settings.name][part.missing] = True
    starts = np.unique(np.concatenate([part.missing for part in parts]) // size) * size
    return [
        Block(
            range(start, start + size),
            plan_rows[start : start + size],
            {name: absent[start : start + size] for name, absent in missing.items()},
        )
        for start in starts.tolist()
    ]


def _check_space(folder: Path, parts: list[_Part]) -> None:
    needed = sum(len(part.missing) * part.store.codec.typical_bytes for part in parts)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StoreError(
            f"the features need {needed / 2**30:.1f} GiB, the disk has {free / 2**30:.1f} GiB left",
            where=folder,
            remedy="lower views.unlabeled_views, or set runtime.cache to a larger disk",
        )


def _store_report(part: _Part, views: int) -> StoreReport:
    return StoreReport(
        teacher=part.settings.name,
        path=part.store.path,
        views=views,
        new=part.new,
        bytes=views * part.store.codec.typical_bytes,
        seconds=part.seconds,
        random_weights=part.store.metadata.random_weights,
    )
