"""The interface of objectives, and losses that they share.

A step may be computed in parts, one after the other or in several processes. So each loss is a sum divided by a count
over the whole step (`Counts`). The sum over parts, and the average over processes, then equals the loss of the whole
batch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rsmtdf_core.kinds import METHODS
from rsmtdf_core.student.model import StudentOutput
from rsmtdf_core.student.segmenter import Segmenter
from rsmtdf_core.training.clock import StepClock
from rsmtdf_core.training.data import Batch, mix_planes, mixed_valid
from rsmtdf_core.training.distillation import KeptTokens, distillation_loss
from rsmtdf_core.training.meter import Meter
from rsmtdf_core.training.methods.labeled import LabeledLoss, Task, labeled_loss
from rsmtdf_core.training.methods.thresholds import SelfAdaptiveThresholds
from rsmtdf_core.training.settings import DistillationSettings, MethodSettings
from rsmtdf_core.training.targets import Targets

Confidence = float | SelfAdaptiveThresholds
"""The confidence that a trusted pseudo-label needs: a number, or a number for each class that changes."""


@dataclass(frozen=True, slots=True)
class Models:
    """The two models of a step.

    Attributes:
        student: the model to train; maps normalized images to a `StudentOutput`, unless the method has another model.
        ema: the EMA model, which labels weak views.
        label: computes the EMA model's logits of normalized images; compiled if `runtime.compile` is set.
        clock: measures the phases of the step.
        progress: 0 in the first step of the training, 1 in the last, and linear between them.
        meter: sums over the logging interval that are not losses.
    """

    student: nn.Module
    ema: Segmenter
    label: Callable[[Tensor], Tensor]
    clock: StepClock
    progress: float = 0.0
    meter: Meter = field(default_factory=Meter)


class Counts(NamedTuple):
    """Denominators of the losses, over all parts of a step.

    Attributes:
        labeled: number of labeled pixels, or the sum of their weights, a scalar.
        unlabeled: number of pixels without padding, for each strong view, [V].
        tokens: number of compared tokens, for each teacher in order, [T].
        images: number of images with labels, a scalar; None if the method does not count them.
    """

    labeled: Tensor
    unlabeled: Tensor
    tokens: Tensor
    images: Tensor | None = None


class Objective(Protocol):
    """The code of a training method. Its row in `kinds.METHODS` declares its views and tokens."""

    def __init__(self, settings: MethodSettings, ignore_id: int, seed: int) -> None:
        """Keep the settings, the class id of ignored pixels, and the seed of random draws."""
        ...

    def counts(self, batch: Batch, targets: Targets | None) -> Counts:
        """Return the counts of a batch, in float64."""
        ...

    def __call__(
        self, models: Models, batch: Batch, targets: Targets | None, counts: Counts
    ) -> dict[str, Tensor]:
        """Compute the losses of a part of a step by name; `loss` is minimized.

        Each scalar is a sum divided by a count of the whole step. Training logs the mean of each over the logging
        interval, and draws those with "loss" in their names.
        """
        ...


class ObjectiveHooks:
    """The optional parts of an objective; a method that needs any of them inherits from this class."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the start of a run, after `prepare`."""
        return ()

    @property
    def state(self) -> dict[str, Tensor]:
        """The tensors that a checkpoint keeps, by name; restored in place."""
        return {}

    def prepare(self, task: Task) -> None:
        """Get the classes, once before the first step.

        Raises:
            ConfigError: If the settings do not fit them.
        """

    def end_step(self, summed: Callable[[Tensor], Tensor]) -> None:
        """Update the state after all parts of a step.

        Args:
            summed: returns the sum of a tensor over all processes; every process must call it alike.
        """

    def weights(self, progress: float) -> dict[str, float]:
        """Return the weights of losses that are in force, for the log.

        Args:
            progress: that of `Models`.
        """
        del progress
        return {}


def hooks_of(objective: Objective) -> ObjectiveHooks:
    """Return the hooks of an objective; for an objective without hooks, those that do nothing."""
    return objective if isinstance(objective, ObjectiveHooks) else ObjectiveHooks()


def objective_class(method: str) -> type[Objective]:
    """Import and return the class of a method."""
    objective: type[Objective] = METHODS[method].load()
    return objective


@dataclass(frozen=True, slots=True)
class PseudoLabels:
    """Hard labels of the EMA model for unlabeled samples.

    Attributes:
        labels: class ids, int64 [U, H, W].
        trusted: pixels without padding whose confidence reaches the threshold, bool [U, H, W].
    """

    labels: Tensor
    trusted: Tensor


def student_images(batch: Batch) -> Tensor:
    """Concatenate the student's images: labeled, then each set of mixed views, uint8 [B + V * U, 3, S, S]."""
    return torch.cat([batch.images, *batch.mixed])


def forward(models: Models, images: Tensor, channel_scale: Tensor | None = None) -> StudentOutput:
    """Run the student on uint8 images; see `Student.forward` for `channel_scale`."""
    models.clock.begin("student")
    normalised = models.ema.normalise(images)
    output: StudentOutput = (
        models.student(normalised)
        if channel_scale is None
        else models.student(normalised, channel_scale)
    )
    models.clock.begin("loss")
    return output


def pixel_counts(batch: Batch, ignore_id: int, labeled_loss: LabeledLoss | None = None) -> Counts:
    """Count the pixels of a batch, weighted as in `labeled_loss`, without tokens."""
    is_labeled = batch.masks != ignore_id
    labeled = is_labeled.sum() if labeled_loss is None else labeled_loss.count(batch.masks)
    unlabeled = [valid.sum() for valid in mixed_valid(batch)]
    return Counts(
        labeled.double(),
        torch.stack(unlabeled).double() if unlabeled else labeled.new_zeros(0).double(),
        labeled.new_zeros(0).double(),
        is_labeled.flatten(1).any(dim=1).sum().double(),
    )


@torch.no_grad()
def pseudo_labels(models: Models, batch: Batch, confidence: Confidence) -> list[PseudoLabels]:
    """Label the weak views and mix the labels in the same way as the strong views (FixMatch with CutMix).

    Self-adaptive thresholds are measured, and learn from the probabilities.
    """
    models.clock.begin("ema")
    logits = models.label(models.ema.normalise(batch.weak))
    chances = logits.float().softmax(dim=1)
    top, labels = chances.max(dim=1)
    if isinstance(confidence, SelfAdaptiveThresholds):
        confidence.observe(chances, batch.valid[len(batch.images) :])
        by_class = confidence.by_class
        models.meter.thresholds(by_class, len(batch.weak))
        reached = top >= by_class[labels]
    else:
        reached = top >= confidence
    return [
        PseudoLabels(mix_planes(labels, pasted), mix_planes(reached, pasted) & valid)
        for pasted, valid in zip(batch.pasted, mixed_valid(batch), strict=True)
    ]


def unlabeled_loss(logits: Tensor, pseudo: PseudoLabels, count: Tensor) -> Tensor:
    """Return the cross-entropy of pseudo-labels: the sum over trusted pixels / `count`."""
    pixels = F.cross_entropy(logits.float(), pseudo.labels, reduction="none")
    return (pixels * pseudo.trusted).sum() / count


def semi_supervised(
    models: Models,
    batch: Batch,
    counts: Counts,
    confidence: Confidence,
    ignore_id: int,
    channel_scale: Tensor | None = None,
    supervised: LabeledLoss | None = None,
) -> tuple[StudentOutput, dict[str, Tensor]]:
    """Run the student on all samples and compute the losses that FixMatch and its descendants share.

    Returns:
        The student's output for the labeled, then the mixed samples; and `loss_x`, `loss_u` (the mean over strong
        views) and `trusted`, the share of valid pixels with a trusted pseudo-label. With `supervised`, its losses
        replace the plain cross-entropy `loss_x`.
    """
    pseudo = pseudo_labels(models, batch, confidence)
    output = forward(models, student_images(batch), channel_scale)
    for labels, valid in zip(pseudo, mixed_valid(batch), strict=True):
        classes = output.logits.shape[1]
        models.meter.pseudo_labels(labels.labels, labels.trusted, valid, classes)
    labeled, *strong = output.logits.split([len(batch.images), *[len(batch.weak)] * len(pseudo)])
    unlabeled = [
        unlabeled_loss(logits, labels, count)
        for logits, labels, count in zip(strong, pseudo, counts.unlabeled, strict=True)
    ]
    trusted = [
        labels.trusted.sum() / count for labels, count in zip(pseudo, counts.unlabeled, strict=True)
    ]
    if supervised is None:
        losses = {"loss_x": labeled_loss(labeled, batch.masks, ignore_id, counts.labeled)}
    else:
        losses = supervised(labeled, batch.masks, counts.labeled, counts.images)
    return output, {
        **losses,
        "loss_u": torch.stack(unlabeled).mean(),
        "trusted": torch.stack(trusted).mean(),
    }


def distilled(
    models: Models,
    student: Mapping[str, Tensor],
    targets: Targets,
    kept: KeptTokens,
    counts: Counts,
    settings: DistillationSettings,
) -> Tensor:
    """Compute the distillation loss of a part of a step, and measure the explained variance of each teacher.

    Args:
        models: the models of the step.
        student: by teacher, the student's translated tokens of the samples in `targets`.
        targets: the teachers' tokens.
        kept: by teacher, the tokens that count; None keeps all.
        counts: the counts of the step.
        settings: the distance.
    """
    models.meter.tokens(student, targets.tokens, kept)
    return distillation_loss(
        student,
        targets.tokens,
        kept,
        dict(zip(targets.tokens, counts.tokens, strict=True)),
        settings,
        targets.spreads,
    )
