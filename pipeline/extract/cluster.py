"""Where blocks run: dask workers on this machine, or those of a cluster that runs elsewhere."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import uuid4

import torch
from distributed import Client, Event, LocalCluster, as_completed, get_worker, wait
from distributed.comm.addressing import get_address_host
from distributed.scheduler import KilledWorker

import rsmtdf_core
from pipeline.config import RuntimeSettings
from pipeline.extract.blocks import (
    Block,
    BlockResult,
    Work,
    extract_block,
    forget_blocks,
)
from pipeline.reporter import Bar
from rsmtdf_core.errors import ConfigError, RsmtdfError, TeacherError

CONNECT_SECONDS = 20

T = TypeVar("T")


@contextmanager
def open_cluster(runtime: RuntimeSettings, scheduler: str | None) -> Iterator[Client]:
    """A client of the scheduler given, or of a cluster on this machine that ends with it.

    Raises:
        ConfigError: where no scheduler answers at the address, or it has no workers.
    """
    opened = _local_client(runtime) if scheduler is None else _remote_client(scheduler)
    with opened as client:
        try:
            yield client
        finally:
            # Workers that run on must not keep the teachers' memory; one that is gone keeps none.
            client.run(forget_blocks, on_error="ignore")


@contextmanager
def _local_client(runtime: RuntimeSettings) -> Iterator[Client]:
    workers = runtime.extract_workers or _local_workers(runtime)
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            # A single worker shares this process: it starts at once and needs no second copy of torch.
            processes=workers > 1,
            # Else dask kills a worker whose teachers take more than its share of the memory.
            memory_limit=None,
            # Any free port: the usual one may be another extraction's.
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            silence_logs="ERROR",
        ) as cluster,
        Client(cluster) as client,
    ):
        if workers > 1:
            # dask starts worker processes with one torch thread each.
            client.run(torch.set_num_threads, max(1, torch.get_num_threads() // workers))
            # This process has looked into the same weights files and warned already.
            client.run(logging.getLogger(rsmtdf_core.__name__).setLevel, logging.ERROR)
        yield client


@contextmanager
def _remote_client(scheduler: str) -> Iterator[Client]:
    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as failure:
        raise ConfigError(
            f"no dask scheduler answers: {str(failure).splitlines()[0]}",
            where=scheduler,
            remedy="start `dask scheduler` and give the address that it prints, e.g. tcp://host:8786",
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError:
            raise ConfigError(
                "the dask scheduler has no workers",
                where=scheduler,
                remedy=f"run `dask worker {scheduler}` on each machine that is to take part",
            ) from None
        yield client


def _local_workers(runtime: RuntimeSettings) -> int:
    if runtime.device != "cpu" and torch.cuda.is_available():
        return torch.cuda.device_count()
    return max(1, min(4, torch.get_num_threads() // 4))


def machine_workers(client: Client) -> int:
    """How many workers the machine with the most of them has."""
    hosts = Counter(get_address_host(address) for address in client.nthreads())
    return max(hosts.values(), default=1)


def run_task(client: Client, function: Callable[..., T], *arguments: object) -> T:
    """The result of a function that runs on a worker.

    Raises:
        RsmtdfError, OSError: as the function raised it.
    """
    with _killed_workers_named():
        outcome = client.submit(_outcome, function, *arguments, pure=False).result()
    result: T = _value(outcome)
    return result


def run_on_device(client: Client, device: str, function: Callable[..., T], *arguments: object) -> T:
    """The result of a function that runs on a worker and takes, last, the device of that worker.

    Args:
        client: of the workers.
        device: `runtime.device`.
        function: runs there.
        arguments: all but the device.

    Raises:
        RsmtdfError, OSError: as the function raised it.
    """
    result: T = run_task(client, _on_device, function, arguments, device)
    return result


def _on_device(function: Callable[..., T], arguments: Sequence[object], device: str) -> T:
    return function(*arguments, _own_device(device))


@contextmanager
def _killed_workers_named() -> Iterator[None]:
    try:
        yield
    except KilledWorker:
        raise TeacherError(
            "several workers were killed at the same task, as systems do where memory runs out",
            remedy="lower runtime.teacher_batch, runtime.extract_workers or the teacher's input_size",
        ) from None


def _outcome(function: Callable[..., T], *arguments: object) -> T | RsmtdfError | OSError:
    """Runs on a worker: a result, or an error as a value. Of what is raised there, dask logs the traceback."""
    try:
        return function(*arguments)
    except (RsmtdfError, OSError) as error:
        return error.with_traceback(None)


def _value(outcome: T | RsmtdfError | OSError) -> T:
    if isinstance(outcome, RsmtdfError | OSError):
        raise outcome
    return outcome


def run_blocks(
    client: Client,
    work: Work,
    blocks: Sequence[Block],
    device: str,
    bar: Bar,
    on_result: Callable[[BlockResult], None],
) -> None:
    """Extract the blocks on the workers; once this returns or raises, no task is writing any more.

    Args:
        client: of the workers.
        work: what all blocks share.
        blocks: one task each.
        device: `runtime.device`.
        bar: moved as workers report views.
        on_result: called with each result as it comes.

    Raises:
        RsmtdfError: as the first task that failed, or `on_result`, raised it.
    """
    name = f"rsmtdf-{uuid4().hex}"
    stop = Event(name, client)

    def moved(event: tuple[float, Any]) -> None:
        bar.advance(int(event[1]))

    client.subscribe_topic(name, moved)
    shared = client.scatter(work, broadcast=True)
    tasks = [
        client.submit(_outcome, run_block, shared, block, device, name, pure=False)
        for block in blocks
    ]
    try:
        for task in as_completed(tasks):
            with _killed_workers_named():
                outcome = task.result()
            on_result(_value(outcome))
            # Frees the result on the worker.
            task.release()
    except BaseException:
        # A running task cannot be cancelled: each stops by itself, those that wait as they start.
        stop.set()
        wait([task for task in tasks if task.status == "pending"])
        raise
    finally:
        stop.clear()
        client.unsubscribe_topic(name)


def run_block(work: Work, block: Block, device: str, name: str) -> BlockResult:
    """Runs on a worker: extract a block there, telling the client of each batch.

    Args:
        work: what all blocks share.
        block: which rows.
        device: `runtime.device`.
        name: of the topic that progress goes to and of the event that stops the task.
    """
    worker = get_worker()
    stop = Event(name)

    def on_views(count: int) -> None:
        if stop.is_set():
            raise InterruptedError("the extraction was stopped")
        worker.log_event(name, count)

    return extract_block(work, block, _own_device(device), on_views)


def _own_device(wanted: str) -> str:
    """The device of this worker: by its number one of its machine's GPUs, as far as there are any."""
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        raise ConfigError(
            "runtime.device is cuda, and a worker's machine has no GPU that torch can use",
            where=get_worker().address,
            remedy="--set runtime.device=auto",
        )
    name = str(get_worker().name)
    number = int(name) if name.isdigit() else 0
    return f"cuda:{number % torch.cuda.device_count()}"
