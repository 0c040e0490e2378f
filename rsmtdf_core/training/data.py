"""Batches of pixels: views rendered in loader workers, checked against the crops the teachers saw."""

import signal
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from rsmtdf_core.arrays import Pixels
from rsmtdf_core.errors import RsmtdfError, StoreMismatchError
from rsmtdf_core.training.schedule import BatchSchedule
from rsmtdf_core.training.strong import mix, pasted_pixels
from rsmtdf_core.views.plan import Photometric
from rsmtdf_core.views.render import ViewRenderer, crop_crc, valid_pixels


class Batch(NamedTuple):
    """One step's pixels; B labeled and U unlabeled samples, partners of the unlabeled at i ^ 1.

    Attributes:
        step: the step, counted from 0.
        first: place of the first sample of each kind in the step's global batch.
        total: labeled samples, and as many unlabeled ones, of the global batch.
        images: labeled weak views, uint8 [B, C, S, S].
        masks: their class ids, uint8 [B, S, S].
        weak: unlabeled weak views, uint8 [U, C, S, S].
        mixed: V strong views with CutMix of each, uint8 [V, U, C, S, S].
        pasted: True where `mixed` shows the partner, bool [V, U, S, S].
        valid: False where a weak view is padding, bool [B + U, S, S].
    """

    step: int
    first: int
    total: int
    images: Tensor
    masks: Tensor
    weak: Tensor
    mixed: Tensor
    pasted: Tensor
    valid: Tensor

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Its tensors by name."""
        return dict(zip(self._fields[3:], self[3:], strict=True))

    def pinned(self) -> "Batch":
        """The same batch in pinned memory, from which a GPU copies without blocking."""
        return Batch(*self[:3], *(tensor.pin_memory() for tensor in self[3:]))

    def part(self, samples: slice) -> "Batch":
        """These samples of each kind; unlabeled ones in whole pairs."""
        labeled = len(self.images)
        valid = torch.cat([self.valid[:labeled][samples], self.valid[labeled:][samples]])
        return Batch(
            self.step,
            self.first + samples.start,
            self.total,
            self.images[samples],
            self.masks[samples],
            self.weak[samples],
            self.mixed[:, samples],
            self.pasted[:, samples],
            valid,
        )


@dataclass
class StepDataset(Dataset[Batch]):
    """The batches of a training, by step.

    Args:
        renderer: renders the plan's views.
        schedule: which rows a step has.
        crops: crc32 of each plan row's geometric crop as the teachers saw it, uint32 [rows]; None skips the
            check (no cached tokens are used).
        strong_views: strong views of each unlabeled sample; 0 leaves unlabeled samples out.
    """

    renderer: ViewRenderer
    schedule: BatchSchedule
    crops: npt.NDArray[np.uint32] | None
    strong_views: int

    def __getitem__(self, step: int) -> Batch:
        """Render the batch of one step.

        Raises:
            StoreMismatchError: where a crop is not the one the teachers saw.
        """
        rows, plan = self.schedule.rows(step), self.renderer.plan
        labeled = rows.labeled.tolist()
        unlabeled = rows.unlabeled.tolist() if self.strong_views else []

        def strong(place: int, change: Photometric | None) -> Pixels:
            return self.renderer.strong(unlabeled[place], change)

        # Weak views first: the strong ones are made of those that the renderer keeps.
        weak = np.stack([weak_view(self.renderer, row, self.crops) for row in labeled + unlabeled])
        masks = np.stack([self.renderer.mask(row) for row in labeled])
        mixed = [
            mix(plan, unlabeled, rows.epoch, number, strong) for number in range(self.strong_views)
        ]
        return assembled(self.schedule, step, weak, masks, mixed)


def weak_view(renderer: ViewRenderer, row: int, crops: npt.NDArray[np.uint32] | None) -> Pixels:
    """The weak view of a plan row, uint8 [crop, crop, C].

    Args:
        renderer: renders the plan's views.
        row: the plan row.
        crops: crc32 of each plan row's crop as the teachers saw it, uint32 [rows]; None checks nothing.

    Raises:
        StoreMismatchError: the crop is not the one that the teachers saw.
    """
    crop = renderer.weak(row)
    if crops is not None and crop_crc(crop) != crops[row]:
        scene = renderer.plan.scenes[renderer.plan[row].scene]
        raise StoreMismatchError(
            "the crop rendered now is not the crop that the teachers saw",
            where=f"scene {scene.id}, view {renderer.plan[row].number}",
            remedy="restore the image, use the image library of that time, or another cache folder",
        )
    return crop


def assembled(
    schedule: BatchSchedule,
    step: int,
    weak: Pixels,
    masks: Pixels,
    mixed: Sequence[Sequence[Pixels]],
) -> Batch:
    """The batch of a step from its views.

    Args:
        schedule: which rows the step has.
        step: the step.
        weak: weak views of the labeled, then the unlabeled samples, uint8 [B + U, S, S, C].
        masks: class ids of the labeled ones, uint8 [B, S, S].
        mixed: each kind of strong view, with CutMix, of the unlabeled samples, uint8 [S, S, C] each.
    """
    rows, plan, labeled = schedule.rows(step), schedule.plan, len(masks)
    unlabeled = rows.unlabeled.tolist() if mixed else []
    size = plan.settings.crop
    shape = (len(mixed), len(unlabeled), size, size)
    strong, pasted = np.empty((*shape, weak.shape[-1]), np.uint8), np.empty(shape, np.bool_)
    for number, views in enumerate(mixed):
        np.stack(views, out=strong[number])
        np.stack(pasted_pixels(plan, unlabeled, rows.epoch, number), out=pasted[number])
    valid = [valid_pixels(plan[row].geometry, size) for row in rows.labeled.tolist() + unlabeled]
    return Batch(
        step,
        schedule.first,
        schedule.total,
        _channels_first(weak[:labeled]),
        torch.from_numpy(np.ascontiguousarray(masks)),
        _channels_first(weak[labeled:]),
        _channels_first(strong),
        torch.from_numpy(pasted),
        torch.from_numpy(np.stack(valid)),
    )


def _channels_first(views: Pixels) -> Tensor:
    # Contiguous whatever the source: convolutions round by how pixels lie in memory.
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(views, -1, -3)))


@dataclass
class _Carrier(Dataset[Batch | RsmtdfError]):
    """Hands a user's mistake over as a value: raised in a worker, torch would rebuild it from its text alone."""

    dataset: StepDataset

    def __getitem__(self, step: int) -> Batch | RsmtdfError:
        try:
            return self.dataset[step]
        except RsmtdfError as error:
            return error


def _outlive_signals(_worker: int) -> None:
    """Leave it to the training to stop its workers: a scheduler's signal goes to all processes at once."""
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)


def batches(
    dataset: StepDataset, start: int, stop: int, workers: int, *, pin: bool
) -> Generator[Batch]:
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
        worker_init_fn=_outlive_signals,
    )
    loaded = iter(loader)
    try:
        for batch in loaded:
            if isinstance(batch, RsmtdfError):
                raise batch
            yield batch
    finally:
        # Now, not when the iterator is freed: an error that somebody keeps holds it by its frames, and at
        # the end of the process the workers, deaf to signals, would be waited for without end.
        if isinstance(loaded, _MultiProcessingDataLoaderIter):
            loaded._shutdown_workers()
