"""Where the pixels of a step come from: rendered ahead by loader processes, or read from the cache."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

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
        with closing(batches(self.dataset, start, stop, self.workers, pin=self.pin)) as found:
            yield found


@dataclass
class CachedPixels:
    """Views that stage one rendered; nothing is decoded, and nothing but fresh colours is computed.

    Attributes:
        reader: of the pixels' store, addressed by plan row.
        schedule: which rows a step has.
        strong_views: strong views of each unlabeled sample; 0 leaves unlabeled samples out.
        pin: whether batches come in pinned memory.
    """

    reader: FeatureReader
    schedule: BatchSchedule
    strong_views: int
    pin: bool

    @contextmanager
    def opened(self, start: int, stop: int) -> Iterator[Iterator[Batch]]:
        """The batches of steps `start` to `stop` - 1, in order."""
        count = (1 + (self.strong_views > 0)) * self.schedule.batch
        with (
            Ring({PIXELS: self.reader}, self._rows, start, stop, batch=count) as ring,
            ahead(self._batches(ring)) as batches,
        ):
            yield batches

    def _rows(self, step: int) -> npt.NDArray[np.int64]:
        rows = self.schedule.rows(step)
        return np.concatenate([rows.labeled, rows.unlabeled]) if self.strong_views else rows.labeled

    def _batches(self, ring: Ring) -> Iterator[Batch]:
        for slot in ring:
            batch = self._batch(slot.step, slot.buffers[PIXELS].numpy())
            slot.release()
            yield batch.pinned() if self.pin else batch

    def _batch(self, step: int, records: npt.NDArray[np.uint8]) -> Batch:
        """A step's batch from its records, uint8 [B + U, S, S, channels]; it shares no memory with them."""
        rows, plan = self.schedule.rows(step), self.schedule.plan
        labeled = len(rows.labeled)
        unlabeled = rows.unlabeled.tolist() if self.strong_views else []
        bands = pixel_bands(plan.settings, records.shape[-1])
        weak, last = records[..., :bands], records[labeled:, ..., bands:]
        sees = plan.settings.teacher_sees

        def strong(place: int, change: Photometric | None) -> npt.NDArray[np.uint8]:
            if change is None:
                kept: npt.NDArray[np.uint8] = last[place]
                return kept
            return render_photometric(np.ascontiguousarray(weak[labeled + place]), change)

        mixed = [
            # Where teachers saw mixed views, these are what was kept.
            list(last)
            if number == 0 and sees == "mixed"
            else mix(plan, unlabeled, rows.epoch, number, strong)
            for number in range(self.strong_views)
        ]
        return assembled(self.schedule, step, weak, records[:labeled, ..., bands], mixed)
