"""Batches of pixels: views rendered in loader workers, checked against the crops the teachers saw."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from rsmtdf_core.errors import RsmtdfError, StoreMismatchError
from rsmtdf_core.training.schedule import BatchSchedule, StepRows
from rsmtdf_core.views.draws import KeyedDraws
from rsmtdf_core.views.photometric import draw_photometric
from rsmtdf_core.views.plan import Photometric, ViewPlan
from rsmtdf_core.views.render import ViewRenderer, crop_crc, paste

Pixels = npt.NDArray[np.uint8]


class Batch(NamedTuple):
    """One step's pixels; B labeled and U unlabeled samples, partners of the unlabeled at i ^ 1.

    Attributes:
        step: the step, counted from 0.
        images: labeled weak views, uint8 [B, 3, S, S].
        masks: their class ids, uint8 [B, S, S].
        weak: unlabeled weak views, uint8 [U, 3, S, S].
        mixed: unlabeled strong views with CutMix, uint8 [U, 3, S, S].
        valid: False where an unlabeled weak view is padding, bool [U, S, S].
        pasted: True where `mixed` shows the partner, bool [U, S, S].
    """

    step: int
    images: Tensor
    masks: Tensor
    weak: Tensor
    mixed: Tensor
    valid: Tensor
    pasted: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same batch on `device`."""
        return Batch(self.step, *(part.to(device, non_blocking=True) for part in self[1:]))


@dataclass
class StepDataset(Dataset[Batch]):
    """The batches of a training, by step.

    Args:
        renderer: renders the plan's views.
        schedule: which rows a step has.
        crops: crc32 of each plan row's geometric crop as the teachers saw it, uint32 [rows]; None skips the
            check (no cached tokens are used).
        unlabeled: whether the objective needs unlabeled views.
    """

    renderer: ViewRenderer
    schedule: BatchSchedule
    crops: npt.NDArray[np.uint32] | None
    unlabeled: bool

    def __getitem__(self, step: int) -> Batch:
        """Render the batch of one step.

        Raises:
            StoreMismatchError: where a crop is not the one the teachers saw.
        """
        rows = self.schedule.rows(step)
        labeled = [int(row) for row in rows.labeled]
        unlabeled = [int(row) for row in rows.unlabeled] if self.unlabeled else []
        weak = [self._weak(row) for row in unlabeled]
        mixed, pasted = self._mixed(unlabeled, rows)
        return Batch(
            step,
            self._images([self._weak(row) for row in labeled]),
            self._planes([self.renderer.mask(row) for row in labeled], torch.uint8),
            self._images(weak),
            self._images(mixed),
            self._planes([self.renderer.valid(row) for row in unlabeled], torch.bool),
            self._planes(pasted, torch.bool),
        )

    def _weak(self, row: int) -> Pixels:
        crop = self.renderer.weak(row)
        if self.crops is not None and crop_crc(crop) != self.crops[row]:
            scene = self.renderer.plan.scenes[self.renderer.plan[row].scene]
            raise StoreMismatchError(
                "the crop rendered now is not the crop that the teachers saw",
                where=f"scene {scene.id}, view {self.renderer.plan[row].number}",
                remedy="restore the image, or run `rsmtdf extract-features CONFIG` again",
            )
        return crop

    def _mixed(
        self, rows: list[int], step: StepRows
    ) -> tuple[list[Pixels], list[npt.NDArray[np.bool_]]]:
        plan = self.renderer.plan
        fresh = plan.settings.teacher_sees == "weak"
        strong = [
            self.renderer.strong(row, fresh_photometric(plan, row, step.epoch) if fresh else None)
            for row in rows
        ]
        size = self.renderer.plan.settings.crop
        nothing, everything = np.zeros((size, size), np.bool_), np.ones((size, size), np.bool_)
        boxes = [self.renderer.plan[row].box for row in rows]
        mixed = [paste(strong[i], strong[i ^ 1], box) for i, box in enumerate(boxes)]
        return mixed, [paste(nothing, everything, box) for box in boxes]

    def _images(self, crops: list[Pixels]) -> Tensor:
        size = self.renderer.plan.settings.crop
        if not crops:
            return torch.empty((0, 3, size, size), dtype=torch.uint8)
        return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()

    def _planes(self, planes: Sequence[npt.NDArray[Any]], dtype: torch.dtype) -> Tensor:
        size = self.renderer.plan.settings.crop
        if not planes:
            return torch.empty((0, size, size), dtype=dtype)
        return torch.from_numpy(np.stack(planes)).to(dtype)


def fresh_photometric(plan: ViewPlan, row: int, epoch: int) -> Photometric:
    """New photometrics of a view for one epoch, where the teachers saw its geometry only."""
    view = plan[row]
    draws = KeyedDraws(plan.seed, plan.scenes[view.scene].id, view.number, "fresh", epoch)
    return draw_photometric(plan.settings, draws)


@dataclass
class _Carrier(Dataset[Batch | RsmtdfError]):
    """Hands a user's mistake over as a value: raised in a worker, torch would rebuild it from its text alone."""

    dataset: StepDataset

    def __getitem__(self, step: int) -> Batch | RsmtdfError:
        try:
            return self.dataset[step]
        except RsmtdfError as error:
            return error


def batches(
    dataset: StepDataset, start: int, stop: int, workers: int, *, pin: bool
) -> Iterator[Batch]:
    """The batches of steps `start` to `stop` - 1 in order, rendered ahead by `workers` processes.

    Raises:
        RsmtdfError: what `StepDataset` raised, whole, whichever process it was raised in.
    """
    loader = DataLoader(
        _Carrier(dataset),
        batch_size=None,
        sampler=range(start, stop),
        num_workers=workers,
        pin_memory=pin,
        prefetch_factor=2 if workers else None,
        # Its own generator: the loader would draw from the global one, which a resumed run restores.
        generator=torch.Generator(),
    )
    for batch in loader:
        if isinstance(batch, RsmtdfError):
            raise batch
        yield batch
