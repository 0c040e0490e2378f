"""Batches of pixels: views rendered in loader workers and verified against the crops the teachers saw."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    """The pixels of a step: B labeled and U unlabeled samples; the partner of unlabeled sample i is i ^ 1.

    Attributes:
        step: the step, counted from 0.
        first: index of the first labeled (and unlabeled) sample in the step's global batch.
        total: number of labeled (and of unlabeled) samples in the global batch.
        images: labeled weak views, uint8 [B, C, S, S].
        masks: class ids of `images`, uint8 [B, S, S].
        weak: unlabeled weak views, uint8 [U, C, S, S].
        mixed: V strong views with CutMix of each unlabeled sample, uint8 [V, U, C, S, S].
        pasted: True for pixels of `mixed` that show the partner, bool [V, U, S, S].
        valid: False for padding in the weak views, bool [B + U, S, S].

    A batch of a pooled schedule only has `images` and `valid`, of the views that the student sees: weak views of
    labeled scenes, then strong views of unlabeled scenes.
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
        """The tensors by name."""
        return dict(zip(self._fields[3:], self[3:], strict=True))

    def pinned(self) -> "Batch":
        """Return the batch in pinned memory, for asynchronous copies to a GPU."""
        return Batch(*self[:3], *(tensor.pin_memory() for tensor in self[3:]))

    def pooled(self) -> "Batch":
        """Return the batch with only the views that the student sees, all of them as `images`."""
        valid = torch.cat([self.valid[: len(self.images)], *mixed_valid(self)])
        # New tensors, as an empty slice would carry its whole storage from a worker to the loop.
        masks, weak, mixed, pasted = (
            tensor.new_empty((0, *tensor.shape[1:]))
            for tensor in (self.masks, self.weak, self.mixed, self.pasted)
        )
        images = torch.cat([self.images, *self.mixed])
        return Batch(*self[:3], images, masks, weak, mixed, pasted, valid)

    def part(self, samples: slice) -> "Batch":
        """Return these labeled and unlabeled samples; the slice must not split pairs."""
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


def mixed_valid(batch: Batch) -> list[Tensor]:
    """Return the pixels without padding for each strong view, bool [U, S, S]."""
    valid = batch.valid[len(batch.images) :]
    return [mix_planes(valid, pasted) for pasted in batch.pasted]


def mix_planes(planes: Tensor, pasted: Tensor) -> Tensor:
    """Replace pixels inside the box by those of the partner, at index i ^ 1; planes [U, H, W]."""
    partners = planes.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
    return torch.where(pasted, partners, planes)


@dataclass
class StepDataset(Dataset[Batch]):
    """The batches of a training, by step.

    Args:
        renderer: renders the plan's views.
        schedule: the rows of each step.
        crops: crc32 of each plan row's geometric crop as the teachers saw it, uint32 [rows]; None skips the
            check, for training without cached tokens.
        strong_views: strong views of each unlabeled sample; 0 omits unlabeled samples.
    """

    renderer: ViewRenderer
    schedule: BatchSchedule
    crops: npt.NDArray[np.uint32] | None
    strong_views: int

    def __getitem__(self, step: int) -> Batch:
        """Render the batch of a step.

        Raises:
            StoreMismatchError: If a crop differs from the crop the teachers saw.
        """
        rows, plan = self.schedule.rows(step), self.renderer.plan
        labeled = rows.labeled.tolist()
        unlabeled = rows.unlabeled.tolist() if self.strong_views else []

        def strong(index: int, change: Photometric | None) -> Pixels:
            return self.renderer.strong(unlabeled[index], change)

        # Weak views first: the strong views are computed from those in the renderer's cache.
        weak = np.stack([weak_view(self.renderer, row, self.crops) for row in labeled + unlabeled])
        masks = [] if self.schedule.pooled else [self.renderer.mask(row) for row in labeled]
        mixed = [
            mix(plan, unlabeled, rows.epoch, number, strong) for number in range(self.strong_views)
        ]
        return assembled(self.schedule, step, weak, masks, mixed)


def weak_view(renderer: ViewRenderer, row: int, crops: npt.NDArray[np.uint32] | None) -> Pixels:
    """Render the weak view of a plan row, uint8 [crop, crop, C].

    Args:
        renderer: renders the plan's views.
        row: the plan row.
        crops: crc32 of each plan row's crop as the teachers saw it, uint32 [rows]; None skips the check. Fresh views,
            which no teacher saw, have none.

    Raises:
        StoreMismatchError: If the crop differs from the crop the teachers saw.
    """
    crop = renderer.weak(row)
    if crops is not None and not renderer.plan.is_fresh(row) and crop_crc(crop) != crops[row]:
        scene = renderer.plan.scenes[renderer.plan[row].scene]
        raise StoreMismatchError(
            "the rendered crop differs from the crop that the teachers saw",
            where=f"scene {scene.id}, view {renderer.plan[row].number}",
            remedy="restore the image or the image library's version, or use another cache folder",
        )
    return crop


def assembled(
    schedule: BatchSchedule,
    step: int,
    weak: Pixels,
    masks: Sequence[Pixels],
    mixed: Sequence[Sequence[Pixels]],
) -> Batch:
    """Assemble the batch of a step from its views.

    Args:
        schedule: the rows of each step.
        step: the step.
        weak: weak views of the labeled, then the unlabeled samples, uint8 [B + U, S, S, C].
        masks: class ids of the labeled samples, uint8 [S, S] each; ignored for a pooled schedule.
        mixed: by number of the strong view, those of the unlabeled samples with CutMix, uint8 [S, S, C] each.
    """
    rows, plan = schedule.rows(step), schedule.plan
    labeled = len(rows.labeled)
    unlabeled = rows.unlabeled.tolist() if mixed else []
    size = plan.settings.crop
    shape = (len(mixed), len(unlabeled), size, size)
    strong, pasted = np.empty((*shape, weak.shape[-1]), np.uint8), np.empty(shape, np.bool_)
    for number, views in enumerate(mixed if unlabeled else ()):
        np.stack(views, out=strong[number])
        np.stack(pasted_pixels(plan, unlabeled, rows.epoch, number), out=pasted[number])
    valid = [valid_pixels(plan[row].geometry, size) for row in rows.labeled.tolist() + unlabeled]
    ids = np.empty((0, size, size), np.uint8) if schedule.pooled else np.stack(masks)
    batch = Batch(
        step,
        schedule.first,
        schedule.total,
        _channels_first(weak[:labeled]),
        torch.from_numpy(ids),
        _channels_first(weak[labeled:]),
        _channels_first(strong),
        torch.from_numpy(pasted),
        torch.from_numpy(np.stack(valid)),
    )
    return batch.pooled() if schedule.pooled else batch


def _channels_first(views: Pixels) -> Tensor:
    # Always contiguous, because the rounding of convolutions depends on the memory layout.
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(views, -1, -3)))


@dataclass
class _Carrier(Dataset[Batch | RsmtdfError]):
    """Return a user's error as a value, because torch rebuilds an error raised in a worker from its text only."""

    dataset: StepDataset

    def __getitem__(self, step: int) -> Batch | RsmtdfError:
        try:
            return self.dataset[step]
        except RsmtdfError as error:
            return error


def _outlive_signals(_worker: int) -> None:
    """Ignore signals in workers: a scheduler signals all processes, and the training stops its workers itself."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def batches(
    dataset: StepDataset, start: int, stop: int, workers: int, *, pin: bool
) -> Iterator[Iterator[Batch]]:
    """Iterate over the batches of steps `start` to `stop` - 1 in order, prefetched by `workers` processes.

    The processes start when the context opens, whichever thread requests the batches. Open it before the
    threads that use it: a process forked from a thread of an executor waits for that thread, itself, when it
    ends, and exits with an error.

    Raises:
        RsmtdfError: As raised by `StepDataset`, even in a worker process.
    """
    loader = DataLoader(
        _Carrier(dataset),
        batch_size=None,
        sampler=range(start, stop),
        num_workers=workers,
        pin_memory=pin,
        prefetch_factor=2 if workers else None,
        # By default the loader draws from the global generator, whose state a resumed run restores.
        generator=torch.Generator(),
        worker_init_fn=_outlive_signals,
    )
    loaded = iter(loader)
    try:
        yield map(_checked, loaded)
    finally:
        # Not left to garbage collection: the traceback of a stored error keeps the iterator alive, and the
        # exit of the process would wait forever for workers that ignore signals.
        if isinstance(loaded, _MultiProcessingDataLoaderIter):
            loaded._shutdown_workers()


def _checked(batch: Batch | RsmtdfError) -> Batch:
    if isinstance(batch, RsmtdfError):
        raise batch
    return batch
