"""The loader: reads the records of upcoming steps ahead into reusable slots.

Allocating a batch of tensors costs several times as much as copying into an existing one, so the slots are
allocated once, and the consumer releases a slot before it is filled again. Threads fill the slots: copying and
decompressing release the interpreter's lock, and no batch is sent between processes.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock
from types import TracebackType
from typing import Self

import numpy as np
import torch
from torch import Tensor

from rsmtdf_core.arrays import Rows
from rsmtdf_core.errors import RsmtdfError
from rsmtdf_core.store.reader import FeatureReader

_Buffers = dict[str, Tensor]
_Filling = tuple[int, list[Future[None]]]

# Several pieces per thread, so that no thread waits long for the slowest; one thread fills in one piece.
_PIECES = 4


@dataclass(frozen=True, slots=True)
class Slot:
    """The records of one step.

    Attributes:
        step: the step's number.
        buffers: the stored numbers of the step's n rows, by reader, [n, *stored_shape].
    """

    step: int
    buffers: Mapping[str, Tensor]
    _give_back: Callable[[int], None]

    def release(self) -> None:
        """Release the slot to be filled again; its buffers must not be used afterwards.

        A non-blocking copy to a device must have finished before. A second call has no effect.
        """
        self._give_back(self.step)


class Ring:
    """Iterator over the slots of steps `start` to `stop` in order; use it as a context manager.

    Each slot must be released before the ring needs it again. Errors of a step, such as
    `StoreDamagedError`, are raised when the step is requested, and end the iteration.

    Args:
        readers: the readers, by name.
        rows: returns the plan rows of a step, at most `batch`. Called from other threads, possibly
            several times per step; it must always return the same rows.
        start: the first step.
        stop: the step after the last.
        batch: the maximum number of rows per step.
        slots: number of steps held at once, including the consumer's.
        threads: number of threads that fill slots.
        pin: whether the buffers are in pinned memory, from which a GPU copies without blocking.
    """

    def __init__(
        self,
        readers: Mapping[str, FeatureReader],
        rows: Callable[[int], Rows],
        start: int,
        stop: int,
        *,
        batch: int,
        slots: int = 3,
        threads: int = 1,
        pin: bool = False,
    ) -> None:
        assert slots >= 1
        assert threads >= 1
        self._readers, self._rows, self._batch = dict(readers), rows, batch
        self._next, self._stop = start, stop
        self._pieces = 1 if threads == 1 else _PIECES * threads
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="rsmtdf-ring")
        self._lock = Lock()
        self._lent: dict[int, _Buffers] = {}
        self._pending: deque[tuple[int, _Buffers, Future[_Filling]]] = deque()
        self._threads.submit(self._ask, start)
        for _ in range(slots):
            self._begin(
                {name: _buffer(reader, batch, pin) for name, reader in self._readers.items()}
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads after their current copies."""
        with self._lock:
            self._stop = self._next
            self._pending.clear()
        self._threads.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[Slot]:
        return self

    def __next__(self) -> Slot:
        if not self._pending:
            if self._next < self._stop:
                raise RuntimeError(
                    f"steps {sorted(self._lent)} hold every slot: release one before the next step"
                )
            raise StopIteration
        step, buffers, started = self._pending.popleft()
        try:
            count, pieces = started.result()
            for piece in pieces:
                piece.result()
        except BaseException:
            self.close()
            raise
        self._lent[step] = buffers
        filled = {name: tensor[:count] for name, tensor in buffers.items()}
        return Slot(step, filled, self._give_back)

    def _give_back(self, step: int) -> None:
        buffers = self._lent.pop(step, None)
        if buffers is not None:
            self._begin(buffers)

    def _begin(self, buffers: _Buffers) -> None:
        """Start filling `buffers` with the next step."""
        with self._lock:
            if self._next < self._stop:
                started = self._threads.submit(self._start, self._next, buffers)
                self._pending.append((self._next, buffers, started))
                self._next += 1

    def _start(self, step: int, buffers: _Buffers) -> _Filling:
        """Prefetch the next step and divide this step's records among the threads; runs in a thread."""
        self._ask(step + 1)
        rows = self._rows(step)
        assert len(rows) <= self._batch
        pieces = [
            self._threads.submit(reader.gather, rows[piece], buffers[name].numpy()[piece])
            for name, reader in self._readers.items()
            for piece in _pieces(len(rows), self._pieces)
        ]
        return len(rows), pieces

    def _ask(self, step: int) -> None:
        """Ask the disk to read a step's records ahead."""
        if step < self._stop:
            rows = self._rows(step)
            # An error of these records is raised when their step reads them.
            with suppress(RsmtdfError):
                for reader in self._readers.values():
                    reader.prefetch(rows)


def _pieces(count: int, most: int) -> list[slice]:
    bounds = np.linspace(0, count, min(most, count) + 1).astype(int).tolist()
    return [slice(low, high) for low, high in pairwise(bounds)]


def _buffer(reader: FeatureReader, batch: int, pin: bool) -> Tensor:
    shape, dtype = (batch, *reader.codec.stored_shape), reader.codec.dtype
    if pin:
        return torch.empty(shape, dtype=torch.from_numpy(np.empty(0, dtype)).dtype, pin_memory=True)
    # NumPy asks for large pages, torch does not.
    return torch.from_numpy(np.zeros(shape, dtype))
