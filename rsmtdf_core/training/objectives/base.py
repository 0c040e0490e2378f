"""The interface of an objective and the losses that several of them share."""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rsmtdf_core.student.model import Student, StudentOutput
from rsmtdf_core.training.data import Batch
from rsmtdf_core.training.settings import ObjectiveSettings
from rsmtdf_core.training.targets import Targets


@dataclass(frozen=True, slots=True)
class Models:
    """The two models of a step: the student, which learns, and its EMA copy, which labels weak views."""

    student: nn.Module
    ema: Student


class Objective(Protocol):
    """A training method.

    Attributes:
        uses_unlabeled: whether it needs the unlabeled views of a batch.
        uses_teachers: whether it needs the teachers' tokens.
    """

    uses_unlabeled: bool
    uses_teachers: bool

    def __init__(self, settings: ObjectiveSettings, ignore_id: int) -> None:
        """Keep the settings and the class id of ignored pixels."""
        ...

    def __call__(self, models: Models, batch: Batch, targets: Targets | None) -> dict[str, Tensor]:
        """The named losses of one step; `loss` is the one to minimise."""
        ...


@dataclass(frozen=True, slots=True)
class PseudoLabels:
    """Hard labels of the EMA model for unlabeled samples.

    Attributes:
        labels: class ids, int64 [U, H, W].
        trusted: where the confidence reaches the threshold and the pixel is not padding, bool [U, H, W].
        valid: where the pixel is not padding, bool [U, H, W].
    """

    labels: Tensor
    trusted: Tensor
    valid: Tensor


def student_images(batch: Batch) -> Tensor:
    """What the student sees: labeled weak views, then mixed ones; uint8 [B + U, 3, S, S]."""
    return torch.cat([batch.images, batch.mixed])


def forward(models: Models, images: Tensor) -> StudentOutput:
    """The student on uint8 images."""
    output: StudentOutput = models.student(models.ema.normalise(images))
    return output


@torch.no_grad()
def pseudo_labels(models: Models, batch: Batch, confidence: float) -> PseudoLabels:
    """Label the weak views and mix the labels as the strong views were mixed (FixMatch with CutMix)."""
    logits = models.ema.logits(models.ema.normalise(batch.weak))
    top, labels = logits.float().softmax(dim=1).max(dim=1)
    valid = _mix(batch.valid, batch.pasted)
    return PseudoLabels(
        labels=_mix(labels, batch.pasted),
        trusted=(_mix(top, batch.pasted) >= confidence) & valid,
        valid=valid,
    )


def _mix(planes: Tensor, pasted: Tensor) -> Tensor:
    """Take the partner's pixels (at i ^ 1) where the box is; planes [U, H, W]."""
    partners = planes.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
    return torch.where(pasted, partners, planes)


def labeled_loss(logits: Tensor, masks: Tensor, ignore_id: int) -> Tensor:
    """Cross-entropy of logits [B, C, H, W] against ids uint8 [B, H, W], its mean over labeled pixels.

    A batch without a labeled pixel has loss 0, where the plain mean would be NaN.
    """
    truth = masks.long()
    total = F.cross_entropy(logits.float(), truth, ignore_index=ignore_id, reduction="sum")
    return total / (truth != ignore_id).sum().clamp(min=1)


def unlabeled_loss(logits: Tensor, pseudo: PseudoLabels) -> Tensor:
    """Cross-entropy over trusted pixels, summed, divided by the number of pixels that are not padding."""
    pixels = F.cross_entropy(logits.float(), pseudo.labels, reduction="none")
    return (pixels * pseudo.trusted).sum() / pseudo.valid.sum().clamp(min=1)


def semi_supervised(
    models: Models, batch: Batch, confidence: float, ignore_id: int
) -> tuple[StudentOutput, dict[str, Tensor]]:
    """One student pass over all samples, with what FixMatch and its descendants have in common.

    Returns:
        The student's output for the labeled samples, then the mixed ones; and `loss_x`, `loss_u` and `trusted`,
        the share of valid pixels whose pseudo-label counts.
    """
    pseudo = pseudo_labels(models, batch, confidence)
    output = forward(models, student_images(batch))
    labeled = len(batch.images)
    return output, {
        "loss_x": labeled_loss(output.logits[:labeled], batch.masks, ignore_id),
        "loss_u": unlabeled_loss(output.logits[labeled:], pseudo),
        "trusted": pseudo.trusted.sum() / pseudo.valid.sum().clamp(min=1),
    }
