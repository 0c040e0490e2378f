"""The interface of an objective and the losses that several of them share.

A step may be computed in parts, one after the other or on several processes. So losses are sums divided by what
counts in the step as a whole (`Counts`): the parts' losses add up, and the processes' average, to those of the
whole batch in one piece.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rsmtdf_core.kinds import METHODS
from rsmtdf_core.student.model import Student, StudentOutput
from rsmtdf_core.training.clock import StepClock
from rsmtdf_core.training.data import Batch
from rsmtdf_core.training.settings import MethodSettings
from rsmtdf_core.training.targets import Targets


@dataclass(frozen=True, slots=True)
class Models:
    """The two models of a step.

    Attributes:
        student: learns; maps normalised images to a `StudentOutput`.
        ema: its EMA copy, which labels weak views.
        label: the EMA model's logits of normalised images, compiled where that was asked for.
        clock: is told what the step is doing.
    """

    student: nn.Module
    ema: Student
    label: Callable[[Tensor], Tensor]
    clock: StepClock


class Counts(NamedTuple):
    """What counts in a step, over all its parts.

    Attributes:
        labeled: labeled pixels, a scalar.
        unlabeled: pixels of each strong view that are not padding, [V].
        tokens: places at which a teacher's tokens are compared, by teacher in order, [T].
    """

    labeled: Tensor
    unlabeled: Tensor
    tokens: Tensor


class Objective(Protocol):
    """The code of a training method; its row in `kinds.METHODS` states which views and tokens it gets."""

    def __init__(self, settings: MethodSettings, ignore_id: int, seed: int) -> None:
        """Keep the settings, the class id of ignored pixels, and the seed of random draws."""
        ...

    def counts(self, batch: Batch, targets: Targets | None) -> Counts:
        """What counts in a batch, in float64."""
        ...

    def __call__(
        self, models: Models, batch: Batch, targets: Targets | None, counts: Counts
    ) -> dict[str, Tensor]:
        """The named losses of one part of a step; `loss` is the one to minimise."""
        ...


def objective_class(method: str) -> type[Objective]:
    """The class of the method of that name, imported."""
    objective: type[Objective] = METHODS[method].load()
    return objective


@dataclass(frozen=True, slots=True)
class PseudoLabels:
    """Hard labels of the EMA model for unlabeled samples.

    Attributes:
        labels: class ids, int64 [U, H, W].
        trusted: where the confidence reaches the threshold and the pixel is not padding, bool [U, H, W].
    """

    labels: Tensor
    trusted: Tensor


def student_images(batch: Batch) -> Tensor:
    """What the student sees: labeled weak views, then each kind of mixed one; uint8 [B + V * U, 3, S, S]."""
    return torch.cat([batch.images, *batch.mixed])


def forward(models: Models, images: Tensor, channel_scale: Tensor | None = None) -> StudentOutput:
    """The student on uint8 images; `channel_scale` as `Student.forward` takes it."""
    models.clock.begin("student")
    normalised = models.ema.normalise(images)
    output: StudentOutput = (
        models.student(normalised)
        if channel_scale is None
        else models.student(normalised, channel_scale)
    )
    models.clock.begin("loss")
    return output


def pixel_counts(batch: Batch, ignore_id: int) -> Counts:
    """What counts of a batch's pixels; no tokens."""
    labeled = (batch.masks != ignore_id).sum()
    unlabeled = [valid.sum() for valid in mixed_valid(batch)]
    return Counts(
        labeled.double(),
        torch.stack(unlabeled).double() if unlabeled else labeled.new_zeros(0).double(),
        labeled.new_zeros(0).double(),
    )


@torch.no_grad()
def pseudo_labels(models: Models, batch: Batch, confidence: float) -> list[PseudoLabels]:
    """Label the weak views and mix the labels as each strong view was mixed (FixMatch with CutMix)."""
    models.clock.begin("ema")
    logits = models.label(models.ema.normalise(batch.weak))
    top, labels = logits.float().softmax(dim=1).max(dim=1)
    return [
        PseudoLabels(mix(labels, pasted), (mix(top, pasted) >= confidence) & valid)
        for pasted, valid in zip(batch.pasted, mixed_valid(batch), strict=True)
    ]


def mixed_valid(batch: Batch) -> list[Tensor]:
    """Where each strong view is not padding, bool [U, S, S]."""
    valid = batch.valid[len(batch.images) :]
    return [mix(valid, pasted) for pasted in batch.pasted]


def mix(planes: Tensor, pasted: Tensor) -> Tensor:
    """Take the partner's pixels (at i ^ 1) where the box is; planes [U, H, W]."""
    partners = planes.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
    return torch.where(pasted, partners, planes)


def labeled_loss(logits: Tensor, masks: Tensor, ignore_id: int, count: Tensor) -> Tensor:
    """Cross-entropy of logits [B, C, H, W] against ids uint8 [B, H, W], summed over labeled pixels, over `count`."""
    total = F.cross_entropy(logits.float(), masks.long(), ignore_index=ignore_id, reduction="sum")
    return total / count


def unlabeled_loss(logits: Tensor, pseudo: PseudoLabels, count: Tensor) -> Tensor:
    """Cross-entropy over trusted pixels, summed, over the count of pixels that are not padding."""
    pixels = F.cross_entropy(logits.float(), pseudo.labels, reduction="none")
    return (pixels * pseudo.trusted).sum() / count


def semi_supervised(
    models: Models,
    batch: Batch,
    counts: Counts,
    confidence: float,
    ignore_id: int,
    channel_scale: Tensor | None = None,
) -> tuple[StudentOutput, dict[str, Tensor]]:
    """One student pass over all samples, with what FixMatch and its descendants have in common.

    Returns:
        The student's output for the labeled samples, then the mixed ones; and `loss_x`, `loss_u` (its mean over
        strong views) and `trusted`, the share of valid pixels whose pseudo-label counts.
    """
    pseudo = pseudo_labels(models, batch, confidence)
    output = forward(models, student_images(batch), channel_scale)
    own, *strong = output.logits.split([len(batch.images), *[len(batch.weak)] * len(pseudo)])
    unlabeled = [
        unlabeled_loss(logits, labels, count)
        for logits, labels, count in zip(strong, pseudo, counts.unlabeled, strict=True)
    ]
    trusted = [
        labels.trusted.sum() / count for labels, count in zip(pseudo, counts.unlabeled, strict=True)
    ]
    return output, {
        "loss_x": labeled_loss(own, batch.masks, ignore_id, counts.labeled),
        "loss_u": torch.stack(unlabeled).mean(),
        "trusted": torch.stack(trusted).mean(),
    }
