"""Run blocks on dask workers, on this machine or in an existing cluster."""

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
from pipeline.extract.blocks import (
    Block,
    BlockResult,
    Work,
    extract_block,
    forget_blocks,
)
from pipeline.reporter import Bar
from pipeline.sections import RuntimeSettings
from rsmtdf_core.errors import ConfigError, RsmtdfError, TeacherError

CONNECT_SECONDS = 20

T = TypeVar("T")


@contextmanager
def open_cluster(runtime: RuntimeSettings, scheduler: str | None) -> Iterator[Client]:
    """Open a client of the given scheduler, or of a temporary cluster on this machine.

    Raises:
        ConfigError: If no scheduler answers at the address, or it has no workers.
    """
    opened = _local_client(runtime) if scheduler is None else _remote_client(scheduler)
    with opened as client:
        try:
            yield client
        finally:
            # Workers that keep running must release the teachers' memory; errors of lost workers do not matter.
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
            # By default dask kills a worker if its teachers use more than its share of the memory.
            memory_limit=None,
            # Any free port, because another extraction may use the default port.
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            silence_logs="ERROR",
        ) as cluster,
        Client(cluster) as client,
    ):
        if workers > 1:
            # dask starts worker processes with one torch thread each.
            client.run(torch.set_num_threads, max(1, torch.get_num_threads() // workers))
            # This process has already read the same weights files and logged their warnings.
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
            remedy="start `dask scheduler` and pass the address that it prints, e.g. tcp://host:8786",
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError:
            raise ConfigError(
                "the dask scheduler has no workers",
                where=scheduler,
                remedy=f"run `dask worker {scheduler}` on each machine to use",
            ) from None
        yield client


def _local_workers(runtime: RuntimeSettings) -> int:
    if runtime.device != "cpu" and torch.cuda.is_available():
        return torch.cuda.device_count()
    return max(1, min(4, torch.get_num_threads() // 4))


def machine_workers(client: Client) -> int:
    """Return the maximum number of workers on a machine."""
    hosts = Counter(get_address_host(address) for address in client.nthreads())
    return max(hosts.values(), default=1)


def run_task(client: Client, function: Callable[..., T], *arguments: object) -> T:
    """Run a function on a worker and return its result.

    Raises:
        RsmtdfError, OSError: If the function raises it.
    """
    with _killed_workers_named():
        outcome = client.submit(_outcome, function, *arguments, pure=False).result()
    result: T = _value(outcome)
    return result


def run_on_device(client: Client, device: str, function: Callable[..., T], *arguments: object) -> T:
    """Run a function on a worker, with the worker's device as its last argument, and return its result.

    Args:
        client: client of the workers.
        device: `runtime.device`.
        function: the function to run.
        arguments: all arguments except the device.

    Raises:
        RsmtdfError, OSError: If the function raises it.
    """
    result: T = run_task(client, _on_device, function, arguments, device)
    return result


def _on_device(function: Callable[..., T], arguments: Sequence[object], device: str) -> T:
    return function(*arguments, _worker_device(device))


@contextmanager
def _killed_workers_named() -> Iterator[None]:
    try:
        yield
    except KilledWorker:
        raise TeacherError(
            "several workers were killed in the same task, probably because memory ran out",
            remedy="lower runtime.teacher_batch, runtime.extract_workers or the teacher's input_size",
        ) from None


def _outcome(function: Callable[..., T], *arguments: object) -> T | RsmtdfError | OSError:
    """Return the result or, as a value, the error of a function on a worker; dask would log a raised error."""
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
    """Extract the blocks on the workers. No task is writing when this returns or raises an error.

    Args:
        client: client of the workers.
        work: the inputs that all blocks share.
        blocks: the blocks, one per task.
        device: `runtime.device`.
        bar: advances as workers report views.
        on_result: called with each result.

    Raises:
        RsmtdfError: If a task or `on_result` raises it; the first one wins.
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
            # Free the result on the worker.
            task.release()
    except BaseException:
        # Running tasks cannot be canceled: they check the event and stop, and waiting tasks stop as they start.
        stop.set()
        wait([task for task in tasks if task.status == "pending"])
        raise
    finally:
        stop.clear()
        client.unsubscribe_topic(name)


def run_block(work: Work, block: Block, device: str, name: str) -> BlockResult:
    """Extract a block on a worker, and report each batch to the client.

    Args:
        work: the inputs that all blocks share.
        block: the rows to extract.
        device: `runtime.device`.
        name: name of the topic for progress and of the event that stops the task.
    """
    worker = get_worker()
    stop = Event(name)

    def on_views(count: int) -> None:
        if stop.is_set():
            raise InterruptedError("the extraction was stopped")
        worker.log_event(name, count)

    return extract_block(work, block, _worker_device(device), on_views)


def _worker_device(wanted: str) -> str:
    """Return the device of this worker; its number selects the GPU, if there are any."""
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        raise ConfigError(
            "runtime.device is cuda, but a worker's machine has no GPU that torch can use",
            where=get_worker().address,
            remedy="--set runtime.device=auto",
        )
    name = str(get_worker().name)
    number = int(name) if name.isdigit() else 0
    return f"cuda:{number % torch.cuda.device_count()}"
