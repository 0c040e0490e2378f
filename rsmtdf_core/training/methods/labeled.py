"""The supervised loss: cross-entropy, with weights of classes and a region loss if they are set."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.training.region_losses import dice_loss, lovasz_loss
from rsmtdf_core.training.settings import SupervisedLossSettings
from rsmtdf_core.validation import suggestion

PixelsByClass = npt.NDArray[np.int64]
"""Labeled pixels of each class, int64 [C]."""

_KEY = "objective.class_weights"


@dataclass(frozen=True, slots=True)
class Task:
    """The classes that a method learns.

    Attributes:
        classes: their names, by id.
        device: the device of the training.
        labeled_pixels: counts the pixels of each class in the masks of the labeled scenes.
    """

    classes: tuple[str, ...]
    device: torch.device
    labeled_pixels: Callable[[], PixelsByClass]


class LabeledLoss:
    """L_x = sum(w[y] * cross-entropy) / sum(w[y]) + region_weight * L_region.

    The sums are over the labeled pixels with class y of the whole step. L_region is the mean over the step's images
    with labels.

    Args:
        settings: the weights of classes and the region loss.
        ignore_id: id of pixels without a label.

    Attributes:
        weights: the weights of classes, float32 [C]; None if all are 1.
        note: the weights in words; empty if all are 1.
    """

    def __init__(self, settings: SupervisedLossSettings, ignore_id: int) -> None:
        self._settings = settings
        self._ignore_id = ignore_id
        self.weights: Tensor | None = None
        self.note = ""

    def prepare(self, task: Task) -> None:
        """Compute the weights of classes.

        Raises:
            ConfigError: If the settings name an unknown class, or no labeled pixel would count.
        """
        chosen = self._settings.class_weights
        if chosen == "none":
            return
        if chosen == "balanced":
            pixels = task.labeled_pixels()
            weights = balanced_weights(pixels)
            absent = [name for name, count in zip(task.classes, pixels, strict=True) if not count]
        else:
            weights, absent = _weights_by_name(chosen, task.classes), []
        self.weights = torch.tensor(weights, dtype=torch.float32, device=task.device)
        listed = [
            f"{name} {weight:.3g}"
            for name, weight in zip(task.classes, weights, strict=True)
            if name not in absent
        ]
        kind = " (balanced)" if chosen == "balanced" else ""
        rest = f"; no labeled pixel of {', '.join(absent)}" if absent else ""
        self.note = f"class weights{kind}: {', '.join(listed)}{rest}"

    @property
    def state(self) -> dict[str, Tensor]:
        """The weights of classes, so that a resumed run keeps them."""
        return {} if self.weights is None else {"class_weights": self.weights}

    def count(self, masks: Tensor) -> Tensor:
        """Return the sum of weights of the labeled pixels in masks, uint8 [B, S, S]: a float64 scalar."""
        labeled = masks != self._ignore_id
        if self._settings.class_weights == "none":
            return labeled.sum().double()
        assert self.weights is not None, "prepare computes the weights of classes"
        ids = torch.where(labeled, masks.long(), 0)
        return (self.weights.double()[ids] * labeled).sum()

    def __call__(
        self, logits: Tensor, masks: Tensor, count: Tensor, images: Tensor | None
    ) -> dict[str, Tensor]:
        """Compute the share of some images in the loss of the whole step.

        Args:
            logits: float [B, C, S, S].
            masks: class ids, uint8 [B, S, S].
            count: the sum of weights over the whole step.
            images: number of images with labels in the whole step.

        Returns:
            `loss_x`, and `loss_region` without its weight if it is part of `loss_x`.
        """
        loss = labeled_loss(logits, masks, self._ignore_id, count, self.weights)
        if self._settings.region_loss == "none":
            return {"loss_x": loss}
        assert images is not None, "a region loss needs the number of images"
        by_image = dice_loss if self._settings.region_loss == "dice" else lovasz_loss
        region = by_image(logits, masks, self._ignore_id).sum() / images
        return {"loss_x": loss + self._settings.region_weight * region, "loss_region": region}


def labeled_loss(
    logits: Tensor, masks: Tensor, ignore_id: int, count: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Return the cross-entropy of logits [B, C, H, W] and ids uint8 [B, H, W]: sum over labeled pixels / `count`.

    Each pixel is weighted by its class with `weights` [C].
    """
    total = F.cross_entropy(
        logits.float(), masks.long(), weight=weights, ignore_index=ignore_id, reduction="sum"
    )
    return total / count


def balanced_weights(pixels: PixelsByClass) -> list[float]:
    """Return weights that are inversely proportional to the pixels of each class: N / (C * n).

    N is the number of labeled pixels and C that of the classes with n > 0 pixels (King and Zeng 2001, Logistic
    Regression in Rare Events Data). So every class has the same part in the loss. A class without pixels gets 1.

    Raises:
        ConfigError: If no pixel is labeled.
    """
    present = pixels > 0
    if not present.any():
        raise ConfigError(
            "balanced weights need labeled pixels, but the masks of the labeled scenes have none",
            where=_KEY,
            remedy="--set objective.class_weights=none, or raise data.labeled",
        )
    weights = np.ones(len(pixels))
    weights[present] = pixels.sum() / (present.sum() * pixels[present])
    return [float(weight) for weight in weights]


def _weights_by_name(weights: dict[str, float], classes: Sequence[str]) -> list[float]:
    unknown = [name for name in weights if name not in classes]
    if unknown:
        raise ConfigError(
            f"no class is named {unknown[0]}{suggestion(unknown[0], classes)}",
            where=_KEY,
            remedy=f"use names of the manifest: {', '.join(classes)}",
        )
    listed = [weights.get(name, 1.0) for name in classes]
    if not any(listed):
        raise ConfigError(
            "all classes have weight 0", where=_KEY, remedy="give at least one class a weight"
        )
    return listed
