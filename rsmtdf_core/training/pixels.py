"""Where the pixels of a step come from: rendered ahead by loader processes, or read from the cache."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.ring import Ring, on_device
from rsmtdf_core.training.data import Batch, StepDataset, batches, fresh_photometric
from rsmtdf_core.training.schedule import BatchSchedule, StepRows
from rsmtdf_core.views.pixels import PIXELS
from rsmtdf_core.views.plan import ViewPlan
from rsmtdf_core.views.render import paste, render_photometric, valid_pixels


class PixelSource(Protocol):
    """Gives the batches of a training, by step."""

    @property
    def schedule(self) -> BatchSchedule:
        """Which rows a step has."""
        ...

    def opened(self, start: int, stop: int) -> AbstractContextManager[Iterator[Batch]]:
        """The batches of steps `start` to `stop` - 1, in order."""
        ...


@dataclass
class RenderedPixels:
    """Views are cut out of their scenes and changed while the training runs.

    Attributes:
        dataset: renders a step's views.
        workers: processes that render ahead; 0 renders in the loop.
        pin: whether batches come in pinned memory.
    """

    dataset: StepDataset
    workers: int
    pin: bool

    @property
    def schedule(self) -> BatchSchedule:
        """Which rows a step has."""
        return self.dataset.schedule

    @contextmanager
    def opened(self, start: int, stop: int) -> Iterator[Iterator[Batch]]:
        """The batches of steps `start` to `stop` - 1, in order."""
        yield batches(self.dataset, start, stop, self.workers, pin=self.pin)


@dataclass
class CachedPixels:
    """Views that stage one rendered; nothing is decoded, and nothing but fresh colours is computed.

    A batch may be used until the next one is asked for.

    Attributes:
        reader: of the pixels' store, addressed by plan row.
        schedule: which rows a step has.
        unlabeled: whether the objective needs unlabeled views.
        device: where batches are wanted.
    """

    reader: FeatureReader
    schedule: BatchSchedule
    unlabeled: bool
    device: torch.device

    @contextmanager
    def opened(self, start: int, stop: int) -> Iterator[Iterator[Batch]]:
        """The batches of steps `start` to `stop` - 1, in order."""
        count = (1 + self.unlabeled) * self.schedule.batch
        pin = self.device.type == "cuda"
        with Ring({PIXELS: self.reader}, self._rows, start, stop, batch=count, pin=pin) as ring:
            yield (
                self._batch(step, buffers[PIXELS]) for step, buffers in on_device(ring, self.device)
            )

    def _rows(self, step: int) -> npt.NDArray[np.int64]:
        rows = self.schedule.rows(step)
        return np.concatenate([rows.labeled, rows.unlabeled]) if self.unlabeled else rows.labeled

    def _batch(self, step: int, records: Tensor) -> Batch:
        """A step's batch from its records, uint8 [B + U, S, S, channels]."""
        rows = self.schedule.rows(step)
        # Contiguous as rendered batches are: convolutions round by how pixels lie in memory.
        images = records[..., :3].permute(0, 3, 1, 2).contiguous()
        labeled = len(rows.labeled)
        unlabeled = rows.unlabeled.tolist() if self.unlabeled else []
        mixed, pasted = self._mixed(records[labeled:], rows, unlabeled)
        return Batch(
            step,
            images[:labeled],
            records[:labeled, ..., 3],
            images[labeled:],
            mixed.permute(0, 3, 1, 2).contiguous(),
            self._planes([valid_pixels(self._plan[row].geometry, self._crop) for row in unlabeled]),
            self._planes(pasted),
        )

    def _mixed(
        self, records: Tensor, step: StepRows, rows: list[int]
    ) -> tuple[Tensor, list[npt.NDArray[np.bool_]]]:
        """The mixed views, uint8 [U, S, S, 3], and where each shows its partner, bool [S, S]."""
        boxes = [self._plan[row].box for row in rows]
        nothing, everything = np.zeros((2, self._crop, self._crop), np.bool_)
        everything = ~everything
        pasted = [paste(nothing, everything, box) for box in boxes]
        if self._plan.settings.teacher_sees == "mixed":
            return records[..., 3:], pasted
        strong = (
            records[..., 3:].cpu().numpy()
            if self._plan.settings.teacher_sees == "strong"
            else self._fresh(records.cpu().numpy(), step, rows)
        )
        views = [paste(strong[i], strong[i ^ 1], box) for i, box in enumerate(boxes)]
        mixed = np.stack(views) if views else np.empty((0, self._crop, self._crop, 3), np.uint8)
        return torch.from_numpy(mixed).to(self.device), pasted

    def _fresh(
        self, weak: npt.NDArray[np.uint8], step: StepRows, rows: list[int]
    ) -> list[npt.NDArray[np.uint8]]:
        """Strong views with new photometrics, as the teachers saw geometry only."""
        changes = [fresh_photometric(self._plan, row, step.epoch) for row in rows]
        return [
            render_photometric(np.ascontiguousarray(view[..., :3]), change)
            for view, change in zip(weak, changes, strict=True)
        ]

    def _planes(self, planes: list[npt.NDArray[np.bool_]]) -> Tensor:
        if not planes:
            return torch.empty((0, self._crop, self._crop), dtype=torch.bool)
        return torch.from_numpy(np.stack(planes))

    @property
    def _plan(self) -> ViewPlan:
        return self.schedule.plan

    @property
    def _crop(self) -> int:
        return self._plan.settings.crop
