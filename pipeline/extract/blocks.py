"""A task of stage one: a block of views, rendered once for all producers with missing records (tests: test_run.py).

Three stages run concurrently: threads render the next views, this thread runs the teachers, and a thread per
producer encodes and writes its shards.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from queue import Full, Queue

import numpy as np
import numpy.typing as npt

from pipeline.extract.producer import Producer, Sight
from pipeline.extract.tokens import device_turn, forget_teachers
from rsmtdf_core.arrays import Pixels
from rsmtdf_core.codecs import Tokens
from rsmtdf_core.scenes.find import Dataset
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.store.ledger import LedgerEntry
from rsmtdf_core.store.writing import write_block
from rsmtdf_core.views.plan import ViewPlan
from rsmtdf_core.views.render import ViewRenderer, crop_crc

# Records in a writer's queue: enough to hide a slow disk, few enough to bound memory.
_WAITING = 16


@dataclass(frozen=True, eq=False)
class Work:
    """The inputs that all blocks of an extraction share.

    Attributes:
        dataset: the scenes.
        plan: the views.
        producers: the producers of stores with missing records, with the stores' folders.
        batch: number of views that a producer processes at once.
        machine_workers: maximum number of workers that share a machine's cores.
    """

    dataset: Dataset
    plan: ViewPlan
    producers: tuple[tuple[Producer, Path], ...]
    batch: int
    machine_workers: int = 1


@dataclass(frozen=True, eq=False)
class Block:
    """A part of an extraction: consecutive store rows that form whole shards of every teacher.

    Attributes:
        rows: the store rows.
        plan_rows: plan row of each store row, -1 for none, int64 [rows].
        missing: by producer, True for records to compute, bool [rows].
    """

    rows: range
    plan_rows: npt.NDArray[np.int64]
    missing: dict[str, npt.NDArray[np.bool_]]

    @property
    def wanted(self) -> npt.NDArray[np.int64]:
        """Offsets within the block of rows with a missing record."""
        return np.flatnonzero(np.any(list(self.missing.values()), axis=0))


@dataclass
class BlockResult:
    """The result of a task.

    Attributes:
        rows: store rows that were rendered, int64 [n].
        crcs: crc32 of their geometric crops, uint32 [n].
        entries: by producer, its complete shards.
        seconds: by producer, its compute time; under "waiting", the total time that producers waited for
            pixels or writers.
    """

    rows: npt.NDArray[np.int64]
    crcs: npt.NDArray[np.uint32]
    entries: dict[str, list[LedgerEntry]]
    seconds: dict[str, float] = field(default_factory=dict)


def forget_blocks() -> None:
    """Release the teachers that this process loaded and the scenes that it decoded."""
    forget_teachers()
    _renderer.cache_clear()


def extract_block(
    work: Work, block: Block, device: str, on_views: Callable[[int], None]
) -> BlockResult:
    """Render a block, compute the missing records of its producers and write their shards.

    Args:
        work: the inputs that all blocks share.
        block: the rows to extract.
        device: the device of the teachers.
        on_views: called with the number of completed views, first with 0 and then after each batch; may
            raise an error to stop the task.
    """
    with device_turn:
        on_views(0)
        return _extract_block(work, block, device, on_views)


def _extract_block(
    work: Work, block: Block, device: str, on_views: Callable[[int], None]
) -> BlockResult:
    active = {
        producer.name: (producer, path)
        for producer, path in work.producers
        if block.missing[producer.name].any()
    }
    recorders = {
        name: producer.recorder(work.plan.settings.crop, device)
        for name, (producer, _) in active.items()
    }
    result = BlockResult(np.empty(0, np.int64), np.empty(0, np.uint32), {}, {"waiting": 0.0})
    writers = {
        name: _Writer(path, block.rows, block.missing[name]) for name, (_, path) in active.items()
    }
    try:
        crcs = []
        for batch in _timed(_rendered(work, block), result.seconds):
            crcs.append(batch.crcs)
            for name, (producer, _) in active.items():
                offsets, views = batch.seen[producer.sight]
                chosen = np.flatnonzero(block.missing[name][offsets])
                if not len(chosen):
                    continue
                began = time.perf_counter()
                records = recorders[name](views[chosen])
                done = time.perf_counter()
                result.seconds[name] = result.seconds.get(name, 0.0) + done - began
                writers[name].put(records)
                result.seconds["waiting"] += time.perf_counter() - done
            on_views(len(batch.offsets))
        result.entries = {name: writer.finish() for name, writer in writers.items()}
    finally:
        for writer in writers.values():
            writer.stop()
    result.rows = block.rows.start + block.wanted
    result.crcs = np.concatenate(crcs)
    return result


@dataclass(frozen=True, eq=False)
class _Batch:
    """Rendered views.

    Attributes:
        offsets: offsets within the block, int64 [n].
        seen: by sight, the offsets of missing records of producers with that sight, int64 [m], and the views that
            they see, uint8 [m, S, S, channels].
        crcs: crc32 of all geometric crops, uint32 [n].
    """

    offsets: npt.NDArray[np.int64]
    seen: dict[Sight, tuple[npt.NDArray[np.int64], Pixels]]
    crcs: npt.NDArray[np.uint32]


def _rendered(work: Work, block: Block) -> Iterator[_Batch]:
    """Yield the rendered batches in order."""
    renderer = _renderer(work)
    offsets = block.wanted
    wanted: dict[Sight, npt.NDArray[np.bool_]] = {}
    for producer, _ in work.producers:
        missing = block.missing[producer.name]
        wanted[producer.sight] = missing | wanted.get(producer.sight, np.False_)

    def render(part: npt.NDArray[np.int64]) -> _Batch:
        rows = block.plan_rows[part].tolist()
        crcs = np.array([crop_crc(renderer.weak(row)) for row in rows], np.uint32)
        seen = {}
        for sight, missing in wanted.items():
            chosen = part[missing[part]]
            views = [sight(renderer, row) for row in block.plan_rows[chosen].tolist()]
            seen[sight] = chosen, np.array(views, np.uint8)
        return _Batch(part, seen, crcs)

    batches = [offsets[i : i + work.batch] for i in range(0, len(offsets), work.batch)]
    threads = max(1, (os.cpu_count() or 1) // work.machine_workers // 2)
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[_Batch]] = deque()
        try:
            for part in batches:
                ahead.append(pool.submit(render, part))
                if len(ahead) > threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


@lru_cache(maxsize=1)
def _renderer(work: Work) -> ViewRenderer:
    """Return the renderer of this process, which caches decoded scenes across blocks."""
    return ViewRenderer(SceneReader(work.dataset), work.plan)


def _timed(batches: Iterator[_Batch], seconds: dict[str, float]) -> Iterator[_Batch]:
    while True:
        began = time.perf_counter()
        batch = next(batches, None)
        seconds["waiting"] += time.perf_counter() - began
        if batch is None:
            return
        yield batch


class _Writer:
    """Write a producer's shards of a block in a separate thread, which receives records in row order."""

    def __init__(self, store: Path, rows: range, missing: npt.NDArray[np.bool_]) -> None:
        self._queue: Queue[Tokens | None] = Queue(_WAITING)
        self._missing = missing
        self._entries: list[LedgerEntry] = []
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._write, args=(store, rows), daemon=True)
        self._thread.start()

    def put(self, tokens: Tokens) -> None:
        """Queue the next records [n, ...]; raise any error of the thread."""
        for record in tokens:
            while True:
                try:
                    self._queue.put(record, timeout=0.5)
                    break
                except Full:
                    self._raise_fault()
        self._raise_fault()

    def finish(self) -> list[LedgerEntry]:
        """Wait for the last shard and return all shards."""
        self._thread.join()
        self._raise_fault()
        return self._entries

    def stop(self) -> None:
        """End the thread, even if it has not received all records."""
        while self._thread.is_alive():
            try:
                self._queue.put(None, timeout=0.1)
            except Full:
                continue
            self._thread.join(timeout=0.1)

    def _write(self, store: Path, rows: range) -> None:
        try:
            self._entries = write_block(store, rows, self._records())
        except BaseException as fault:  # noqa: BLE001 - the task raises it, whatever it is
            self._fault = fault

    def _records(self) -> Iterator[Tokens | None]:
        for missing in self._missing:
            record = self._queue.get() if missing else None
            if missing and record is None:
                raise _StoppedError
            yield record

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise self._fault


class _StoppedError(Exception):
    """The task ended before it had all records; the current shard is discarded."""
