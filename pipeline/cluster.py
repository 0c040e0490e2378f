"""Where blocks run: dask workers on this machine, or those of a cluster that runs elsewhere."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from distributed import Client, LocalCluster, get_worker

from pipeline.blocks import (
    Block,
    BlockResult,
    TeacherFacts,
    Work,
    extract_block,
    forget_teachers,
    teacher_facts,
)
from pipeline.config import RuntimeSettings
from pipeline.reporter import Bar
from rsmtdf_core.teachers.settings import TeacherSettings

TOPIC = "rsmtdf-views"
_interrupted = threading.Event()


@contextmanager
def open_cluster(runtime: RuntimeSettings, scheduler: str | None) -> Iterator[Client]:
    """A client of the scheduler given, or of a cluster on this machine that ends with it."""
    if scheduler is not None:
        with Client(scheduler) as client:
            yield client
        return
    workers = runtime.extract_workers or _local_workers(runtime)
    _interrupted.clear()
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            # A single worker shares this process: it starts at once and needs no second copy of torch.
            processes=workers > 1,
            dashboard_address=None,
            silence_logs="ERROR",
        ) as cluster,
        Client(cluster) as client,
    ):
        try:
            yield client
        except BaseException:
            # A worker in this process cannot be killed; it stops after the batch in hand.
            _interrupted.set()
            raise
        finally:
            forget_teachers()


def _local_workers(runtime: RuntimeSettings) -> int:
    if runtime.device != "cpu" and torch.cuda.is_available():
        return torch.cuda.device_count()
    return max(1, torch.get_num_threads() // 2)


@contextmanager
def progress(client: Client, bar: Bar) -> Iterator[None]:
    """Move the bar as workers report views."""

    def moved(event: tuple[float, Any]) -> None:
        bar.advance(int(event[1]))

    client.subscribe_topic(TOPIC, moved)
    try:
        yield
    finally:
        client.unsubscribe_topic(TOPIC)


def run_block(work: Work, block: Block, device: str) -> BlockResult:
    """Runs on a worker: extract a block there, telling the client of each batch."""
    worker = get_worker()

    def on_views(count: int) -> None:
        if _interrupted.is_set():
            raise InterruptedError("the extraction was interrupted")
        worker.log_event(TOPIC, count)

    return extract_block(work, block, _own_device(device), on_views)


def run_facts(settings: TeacherSettings, crop: int, device: str) -> TeacherFacts:
    """Runs on a worker: load a teacher there and look at it."""
    return teacher_facts(settings, crop, _own_device(device))


def _own_device(wanted: str) -> str:
    """The device of this worker: by its number one of its machine's GPUs, as far as there are any."""
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return "cpu"
    name = str(get_worker().name)
    number = int(name) if name.isdigit() else 0
    return f"cuda:{number % torch.cuda.device_count()}"
