"""The pixels of each step, rendered by loaders or read from the cache (tests: pipeline/test_pixel_store.py)."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rsmtdf_core.arrays import Pixels, Rows
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.ring import Ring
from rsmtdf_core.training.ahead import ahead
from rsmtdf_core.training.data import Batch, StepDataset, assembled, batches
from rsmtdf_core.training.schedule import BatchSchedule
from rsmtdf_core.training.strong import mix
from rsmtdf_core.views.plan import Photometric
from rsmtdf_core.views.records import PIXELS, pixel_bands
from rsmtdf_core.views.render import render_photometric


class PixelSource(Protocol):
    """A source of the batches of a training, by step."""

    @property
    def schedule(self) -> BatchSchedule:
        """The rows of each step."""
        ...

    def opened(self, start: int, stop: int) -> AbstractContextManager[Iterator[Batch]]:
        """Iterate over the batches of steps `start` to `stop` - 1, in order."""
        ...


@dataclass
class RenderedPixels:
    """Batches whose views are rendered from their scenes during training.

    Attributes:
        dataset: renders a step's views.
        workers: number of loader processes; 0 renders in the loop.
        pin: whether to copy batches to pinned memory.
    """

    dataset: StepDataset
    workers: int
    pin: bool

    @property
    def schedule(self) -> BatchSchedule:
        """The rows of each step."""
        return self.dataset.schedule

    def opened(self, start: int, stop: int) -> AbstractContextManager[Iterator[Batch]]:
        """Iterate over the batches of steps `start` to `stop` - 1, in order."""
        return batches(self.dataset, start, stop, self.workers, pin=self.pin)


@dataclass
class CachedPixels:
    """Batches whose views stage one rendered, so that training only computes new photometric changes.

    Attributes:
        reader: reader of the pixel store, addressed by plan row.
        schedule: the rows of each step.
        strong_views: strong views of each unlabeled sample; 0 omits unlabeled samples.
        pin: whether to copy batches to pinned memory.
        fresh: renders the labeled views if they are fresh, which no store contains; None if they are cached.
    """

    reader: FeatureReader
    schedule: BatchSchedule
    strong_views: int
    pin: bool
    fresh: RenderedPixels | None = None

    @contextmanager
    def opened(self, start: int, stop: int) -> Iterator[Iterator[Batch]]:
        """Iterate over the batches of steps `start` to `stop` - 1, in order."""
        count = self.schedule.size if self.strong_views else self.schedule.batch
        if self.fresh is not None:
            count = (self.strong_views > 0) * self.schedule.batch
        with (
            # First, because the loader forks its workers: no thread may run yet.
            self.fresh.opened(start, stop) if self.fresh else nullcontext() as rendered,
            Ring({PIXELS: self.reader}, self._rows, start, stop, batch=count) as ring,
            ahead(self._batches(ring, rendered)) as batches,
        ):
            yield batches

    def _rows(self, step: int) -> Rows:
        rows = self.schedule.rows(step)
        if self.fresh is not None:
            return rows.unlabeled
        return np.concatenate([rows.labeled, rows.unlabeled]) if self.strong_views else rows.labeled

    def _batches(self, ring: Ring, rendered: Iterator[Batch] | None) -> Iterator[Batch]:
        for slot in ring:
            fresh = None if rendered is None else next(rendered)
            batch = self._batch(slot.step, slot.buffers[PIXELS].numpy(), fresh)
            slot.release()
            yield batch.pinned() if self.pin else batch

    def _batch(self, step: int, records: Pixels, fresh: Batch | None) -> Batch:
        """Return a step's batch from a copy of its records, uint8 [n, S, S, channels], and its fresh labeled views."""
        rows, plan = self.schedule.rows(step), self.schedule.plan
        labeled = len(rows.labeled) if fresh is None else 0  # those among the records
        unlabeled = rows.unlabeled.tolist() if self.strong_views else []
        bands = pixel_bands(plan.settings, records.shape[-1])
        weak, last = records[..., :bands], records[labeled:, ..., bands:]
        sees = plan.settings.teacher_sees

        def strong(index: int, change: Photometric | None) -> Pixels:
            if change is None:
                cached: Pixels = last[index]
                return cached
            return render_photometric(np.ascontiguousarray(weak[labeled + index]), change)

        mixed = [
            # If the teachers saw mixed views, the records contain the mixed views.
            list(last)
            if number == 0 and sees == "mixed"
            else mix(plan, unlabeled, rows.epoch, number, strong)
            for number in range(self.strong_views)
        ]
        if fresh is None:
            masks = list(records[:labeled, ..., bands])
            return assembled(self.schedule, step, weak, masks, mixed)
        assert fresh.step == step, "the fresh views are out of step"
        weak = np.concatenate([np.moveaxis(fresh.images.numpy(), 1, -1), weak])
        return assembled(self.schedule, step, weak, list(fresh.masks.numpy()), mixed)
