"""One task of stage one: a block of views, rendered once for all teachers that miss it.

Three things go on at once: threads render the next views, this thread runs the teachers, and one thread per
teacher packs and writes its shards.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from queue import Full, Queue
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rsmtdf_core.errors import TeacherError
from rsmtdf_core.scenes.find import Dataset
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.store.codecs import Tokens
from rsmtdf_core.store.ledger import LedgerEntry
from rsmtdf_core.store.writing import write_block
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.teachers.teacher import Teacher, load_teacher
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.views.plan import ViewPlan
from rsmtdf_core.views.records import PIXELS, pixel_record
from rsmtdf_core.views.render import ViewRenderer, crop_crc

# Records that may wait for the writer: enough to hide a slow disk, few enough to bound memory.
_WAITING = 16
# A worker may have several threads; its device has room for the teachers once and for one batch.
_device_turn = threading.Lock()


@dataclass(frozen=True, eq=False)
class Work:
    """What all blocks of an extraction share.

    Attributes:
        dataset: the scenes.
        plan: the views.
        teachers: the teachers that miss records, with their stores' folders.
        batch: views that a teacher sees at once.
        machine_workers: workers that share a machine's cores, at most.
        pixels: the folder of the pixels' store where it misses records too.
    """

    dataset: Dataset
    plan: ViewPlan
    teachers: tuple[tuple[TeacherSettings, Path], ...]
    batch: int
    machine_workers: int = 1
    pixels: Path | None = None

    @property
    def stores(self) -> dict[str, Path]:
        """Every store that misses records, by the name of its teacher."""
        stores = {settings.name: path for settings, path in self.teachers}
        return stores if self.pixels is None else {**stores, PIXELS: self.pixels}


@dataclass(frozen=True, eq=False)
class Block:
    """Part of an extraction: consecutive store rows, whole shards of every teacher.

    Attributes:
        rows: the store rows.
        plan_rows: the plan row of each, -1 for none, int64 [rows].
        missing: by teacher, whether its record is to be made, bool [rows].
    """

    rows: range
    plan_rows: npt.NDArray[np.int64]
    missing: dict[str, npt.NDArray[np.bool_]]

    @property
    def wanted(self) -> npt.NDArray[np.int64]:
        """Places within the block that some teacher misses."""
        return np.flatnonzero(np.any(list(self.missing.values()), axis=0))


@dataclass
class BlockResult:
    """What a task made.

    Attributes:
        rows: store rows that were rendered, int64 [n].
        crcs: crc32 of their geometric crops, uint32 [n].
        entries: by teacher, its complete shards.
        seconds: by teacher, time in its forward passes; under "waiting", time that the teachers waited for
            pixels or for the writers.
    """

    rows: npt.NDArray[np.int64]
    crcs: npt.NDArray[np.uint32]
    entries: dict[str, list[LedgerEntry]]
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TeacherFacts:
    """What the coordinator must know of a teacher to make its store.

    Attributes:
        identity: its declared identity, with the digest of its weights.
        shape: its tokens.
        probe: its output on the fixed probe image.
    """

    identity: dict[str, Any]
    shape: TokenShape
    probe: list[float]


@lru_cache(maxsize=8)
def _teacher(settings: TeacherSettings, crop: int, device: str) -> Teacher:
    """A process loads each of its teachers once, for all of its blocks."""
    return load_teacher(settings, crop, device)


def forget_teachers() -> None:
    """Let go of the teachers that this process loaded and of the scenes that it decoded."""
    _teacher.cache_clear()
    _renderer.cache_clear()
    torch.cuda.empty_cache()


def teacher_facts(settings: TeacherSettings, crop: int, device: str) -> TeacherFacts:
    """Load a teacher and look at it."""
    with _device_turn:
        teacher = _teacher(settings, crop, device)
        return TeacherFacts(teacher.identity(), teacher.shape, teacher.probe())


def sample_tokens(
    work: Work, settings: TeacherSettings, rows: Sequence[int], device: str
) -> Tokens:
    """Tokens of a few views, float32 [n, H, W, D], for a codec to be fitted to."""
    renderer = _renderer(work)
    with _device_turn:
        teacher = _teacher(settings, work.plan.settings.crop, device)
        parts = [
            _tokens(teacher, settings, _images(renderer, rows[i : i + work.batch]))
            for i in range(0, len(rows), work.batch)
        ]
    return np.concatenate(parts)


def _tokens(teacher: Teacher, settings: TeacherSettings, images: torch.Tensor) -> Tokens:
    """A teacher's tokens of images uint8 [n, 3, S, S], float32 [n, H, W, D].

    Raises:
        TeacherError: where any is NaN or infinite.
    """
    tokens = teacher.tokens(images)
    if not torch.isfinite(tokens).all():
        raise TeacherError(
            f"teacher {settings.name} computes tokens that are NaN or infinite",
            where=settings.weights if settings.weights != "hub" else settings.model,
            remedy="check the file of its weights against its published checksum, and get it again",
        )
    return tokens.cpu().numpy()


def _images(renderer: ViewRenderer, rows: Sequence[int]) -> torch.Tensor:
    """What the teachers see of these plan rows, uint8 [n, 3, S, S]."""
    images = np.stack([renderer.teacher_view(row) for row in rows])
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def extract_block(
    work: Work, block: Block, device: str, on_views: Callable[[int], None]
) -> BlockResult:
    """Render a block, run the teachers that miss it and write their shards.

    Args:
        work: what all blocks share.
        block: which rows.
        device: where teachers run.
        on_views: called with the number of views done, first with 0 and then after each batch; may
            raise to stop.
    """
    with _device_turn:
        on_views(0)
        return _extract_block(work, block, device, on_views)


def _extract_block(
    work: Work, block: Block, device: str, on_views: Callable[[int], None]
) -> BlockResult:
    settings = {one.name: one for one, _ in work.teachers if block.missing[one.name].any()}
    teachers = {
        name: _teacher(one, work.plan.settings.crop, device) for name, one in settings.items()
    }
    result = BlockResult(np.empty(0, np.int64), np.empty(0, np.uint32), {}, {"waiting": 0.0})
    writers = {
        name: _Writer(path, block.rows, block.missing[name])
        for name, path in work.stores.items()
        if block.missing[name].any()
    }
    try:
        crcs = []
        for places, images, pixels, batch_crcs in _timed(_rendered(work, block), result.seconds):
            crcs.append(batch_crcs)
            if len(pixels):
                writers[PIXELS].put(pixels)
            for name, teacher in teachers.items():
                chosen = np.flatnonzero(block.missing[name][places])
                if not len(chosen):
                    continue
                began = time.perf_counter()
                tokens = _tokens(teacher, settings[name], images[chosen])
                done = time.perf_counter()
                result.seconds[name] = result.seconds.get(name, 0.0) + done - began
                writers[name].put(tokens)
                result.seconds["waiting"] += time.perf_counter() - done
            on_views(len(places))
        result.entries = {name: writer.finish() for name, writer in writers.items()}
    finally:
        for writer in writers.values():
            writer.stop()
    result.rows = block.rows.start + block.wanted
    result.crcs = np.concatenate(crcs)
    return result


_Rendered = tuple[
    npt.NDArray[np.int64], torch.Tensor, npt.NDArray[np.uint8], npt.NDArray[np.uint32]
]


def _rendered(work: Work, block: Block) -> Iterator[_Rendered]:
    """Batches in order.

    Each has the places in the block, what teachers see, uint8 [n, 3, S, S], the pixel records of those that
    miss them, uint8 [m, S, S, channels], and the crcs of the geometric crops.
    """
    renderer = _renderer(work)
    places = block.wanted

    def render(part: npt.NDArray[np.int64]) -> _Rendered:
        rows = block.plan_rows[part].tolist()
        crcs = np.array([crop_crc(renderer.weak(row)) for row in rows], np.uint32)
        wanted = part[block.missing[PIXELS][part]] if work.pixels else part[:0]
        pixels = [pixel_record(renderer, row) for row in block.plan_rows[wanted].tolist()]
        return part, _images(renderer, rows), np.array(pixels, np.uint8), crcs

    batches = [places[i : i + work.batch] for i in range(0, len(places), work.batch)]
    threads = max(1, (os.cpu_count() or 1) // work.machine_workers // 2)
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[_Rendered]] = deque()
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
    """A process keeps its decoded scenes from block to block."""
    return ViewRenderer(SceneReader(work.dataset), work.plan)


def _timed(batches: Iterator[_Rendered], seconds: dict[str, float]) -> Iterator[_Rendered]:
    while True:
        began = time.perf_counter()
        batch = next(batches, None)
        seconds["waiting"] += time.perf_counter() - began
        if batch is None:
            return
        yield batch


class _Writer:
    """Writes one teacher's shards of a block in a thread of its own, fed in row order."""

    def __init__(self, store: Path, rows: range, missing: npt.NDArray[np.bool_]) -> None:
        self._queue: Queue[Tokens | None] = Queue(_WAITING)
        self._missing = missing
        self._entries: list[LedgerEntry] = []
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._write, args=(store, rows), daemon=True)
        self._thread.start()

    def put(self, tokens: Tokens) -> None:
        """Hand over the next records, float32 [n, H, W, D]; raises what the writing raised."""
        for record in tokens:
            while True:
                try:
                    self._queue.put(record, timeout=0.5)
                    break
                except Full:
                    self._raise_fault()
        self._raise_fault()

    def finish(self) -> list[LedgerEntry]:
        """Wait for the last shard."""
        self._thread.join()
        self._raise_fault()
        return self._entries

    def stop(self) -> None:
        """End the thread, whether or not it got all of its records."""
        while self._thread.is_alive():
            try:
                self._queue.put(None, timeout=0.1)
            except Full:
                continue
            self._thread.join(timeout=0.1)

    def _write(self, store: Path, rows: range) -> None:
        try:
            self._entries = write_block(store, rows, self._records())
        except BaseException as fault:  # noqa: BLE001 - whatever it is, the task must see it
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
    """The task ended before all records were there; the shard in hand is not kept."""
