"""The loader: records of the steps to come, filled ahead into slots that are used again and again.

A new batch of tensors costs several times the copy into an old one, so the slots are made once, and
whoever uses one says when it may be filled again. Threads fill them: copying and decompressing
release the interpreter's lock, and no batch crosses a process border.
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

# Several pieces a thread, so that none waits long for the slowest; one thread fills in one piece.
_PIECES = 4


@dataclass(frozen=True, slots=True)
class Slot:
    """The records of one step.

    Attributes:
        step: which step.
        buffers: the stored numbers by reader, [n, *stored_shape], one for each of the step's rows.
    """

    step: int
    buffers: Mapping[str, Tensor]
    _give_back: Callable[[int], None]

    def release(self) -> None:
        """Let the slot be filled again; its buffers must not be used after that.

        Where a device copies from them without blocking, that copy has to be over. A second call
        does nothing.
        """
        self._give_back(self.step)


class Ring:
    """Iterates over the slots of steps `start` to `stop` in order; use it as a context manager.

    Each slot has to be released before the ring comes round to it. Errors of a step, such as
    `StoreDamagedError`, are raised when that step is asked for; the ring ends there.

    Args:
        readers: one reader or several, by name.
        rows: plan rows of a step, at most `batch`. Called from other threads, and more than once
            a step, always with the same answer.
        start: the first step.
        stop: the step after the last.
        batch: the most rows of a step.
        slots: steps that are held at once, the consumer's among them.
        threads: threads that fill.
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
            self._begin({name: _buffer(one, batch, pin) for name, one in self._readers.items()})

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
        """Stop the threads; what they are copying at this moment is finished first."""
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
        """Have the next step filled into `buffers`."""
        with self._lock:
            if self._next < self._stop:
                started = self._threads.submit(self._start, self._next, buffers)
                self._pending.append((self._next, buffers, started))
                self._next += 1

    def _start(self, step: int, buffers: _Buffers) -> _Filling:
        """Ask for the next step's records and divide this one's among the threads; runs in one."""
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
        """Have the disk read a step's records ahead."""
        if step < self._stop:
            rows = self._rows(step)
            # What is wrong with these records is raised when their own step reads them.
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
