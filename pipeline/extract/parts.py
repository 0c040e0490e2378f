"""The parts of an extraction, one per store: complete stores and missing records (tests: test_run.py)."""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np
from distributed import Client

from pipeline.extract.blocks import Work
from pipeline.extract.cluster import machine_workers, run_on_device
from pipeline.extract.producer import Producer
from pipeline.plan import Experiment
from pipeline.reporter import Reporter
from rsmtdf_core.arrays import Rows
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.store.store import FeatureStore

_WAITING = "another extraction is writing to this store: waiting until it has ended"


@dataclass
class Part:
    """The part of an extraction for one store.

    Attributes:
        producer: computes the records.
        store: the store.
        missing: store rows to compute.
        seconds: compute time of the producer.
        new: number of computed records.
    """

    producer: Producer
    store: FeatureStore
    missing: Rows
    seconds: float = 0.0
    new: int = 0

    @property
    def name(self) -> str:
        """The producer's name."""
        return self.producer.name


def complete_parts(experiment: Experiment, producers: Iterable[Producer], rows: Rows) -> list[Part]:
    """Return the parts whose stores are committed and complete for this plan, including crop checksums.

    No teacher is loaded.
    """
    stores = ((producer, producer.find(experiment)) for producer in producers)
    return [
        Part(producer, store, rows[:0])
        for producer, store in stores
        if store is not None and not len(_unknown_crops(store.group, rows))
    ]


def _unknown_crops(group: ViewGroup, rows: Rows) -> Rows:
    """Return the rows without the checksum of the crop that the teachers saw.

    A killed extraction leaves such records in complete shards that did not reach the coordinator. They
    are computed again, since a crop rendered now proves nothing about the pixels at that time.
    """
    unknown: Rows = rows[group.crops(rows) == 0]
    return unknown


def open_parts(
    client: Client, experiment: Experiment, group: ViewGroup, producers: Iterable[Producer]
) -> list[Part]:
    """Create or open the stores of these producers."""
    on_worker = partial(run_on_device, client, experiment.config.runtime.device)
    return [
        Part(producer, producer.open(experiment, group, on_worker), np.empty(0, np.int64))
        for producer in producers
    ]


def hold_parts(
    parts: list[Part], experiment: Experiment, rows: Rows, locks: ExitStack, reporter: Reporter
) -> None:
    """Lock the stores for writing and find the missing rows of each."""
    parts[0].store.group.sweep()
    # In a fixed order, so that two extractions never wait for each other.
    for part in sorted(parts, key=lambda part: part.store.path.name):
        locks.enter_context(part.store.writing(lambda: reporter.say(_WAITING)))
        part.store.adopt()
        missing = (
            part.store.missing_rows(rows),
            _unknown_crops(part.store.group, rows),
            part.producer.outdated(experiment, part.store, rows),
        )
        part.missing = np.unique(np.concatenate(missing))


def commit_part(part: Part, experiment: Experiment, rows: Rows) -> None:
    """Commit the store: from now on it contains all records of the plan."""
    part.producer.finish(experiment, part.store)
    part.store.commit(rows, part.seconds)


def work_of(client: Client, experiment: Experiment, parts: list[Part]) -> Work:
    """Return the inputs that the blocks of these parts share."""
    return Work(
        dataset=experiment.dataset,
        plan=experiment.plan,
        producers=tuple((part.producer, part.store.path) for part in parts),
        batch=experiment.config.runtime.teacher_batch,
        machine_workers=machine_workers(client),
    )
