"""Reliability of confidences: accuracy by confidence, and the expected calibration error.

The confidence of a pixel is its largest class probability. A model is calibrated if, among the pixels of any
confidence, this share is right (Guo et al., On Calibration of Modern Neural Networks, ICML 2017).
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from rsmtdf_core.arrays import Pixels
from rsmtdf_core.settings import Settings

BINS = 15
_BAND_PIXELS = 2**20  # pixels whose probabilities are in memory at a time


class ReliabilityBin(Settings):
    """The pixels whose confidence is in an interval (k / 15, (k + 1) / 15].

    Attributes:
        pixels: number of labeled pixels.
        confidence: their mean confidence, in [0, 1]; 0 without pixels.
        accuracy: their share of right predictions, in [0, 1]; 0 without pixels.
    """

    pixels: int
    confidence: float
    accuracy: float


class Reliability(Settings):
    """Accuracy by confidence over the labeled pixels of all scenes.

    Attributes:
        temperature: the logits were divided by this number; 1 for the model as it was trained.
        ece: expected calibration error: the mean distance of confidence and accuracy over the bins, weighted by pixels.
        bins: the bins from the lowest to the highest confidence.
    """

    temperature: float
    ece: float
    bins: tuple[ReliabilityBin, ...]


class ReliabilityCounter:
    """Accumulates the bins scene by scene, because the confidences of all pixels would not fit in memory.

    Args:
        temperature: divisor of the logits, above 0.
        ignore_id: id of ignored pixels in the truth.
    """

    def __init__(self, temperature: float, ignore_id: int) -> None:
        self._temperature = temperature
        self._ignore_id = ignore_id
        self._sums = np.zeros((3, BINS))  # pixels, confidences, right predictions

    def add(self, logits: Tensor, truth: Pixels) -> None:
        """Add a scene: logits float32 [C, H, W] on the CPU, and class ids [H, W] of the truth."""
        for chosen, ids in _labeled_bands(logits, truth, self._ignore_id):
            confidences, classes = (chosen / self._temperature).softmax(dim=0).max(dim=0)
            numbers = np.clip(np.ceil(confidences.double().numpy() * BINS).astype(int) - 1, 0, None)
            right = (classes == ids).numpy()
            for row, weights in enumerate((None, confidences.numpy(), right)):
                self._sums[row] += np.bincount(numbers, weights, minlength=BINS)

    @property
    def reliability(self) -> Reliability:
        """The bins and the calibration error of all scenes so far; 0 without pixels."""
        pixels, confidences, right = self._sums
        total = max(1.0, pixels.sum())
        means = np.stack([confidences, right]) / np.maximum(pixels, 1)
        return Reliability(
            temperature=self._temperature,
            ece=float(np.abs(confidences - right).sum() / total),
            bins=tuple(
                ReliabilityBin(pixels=int(count), confidence=confidence, accuracy=accuracy)
                for count, confidence, accuracy in zip(pixels, *means.tolist(), strict=True)
            ),
        )


def _labeled_bands(
    logits: Tensor, truth: Pixels, ignore_id: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the logits [C, n] and true ids int64 [n] of the labeled pixels, some rows at a time."""
    rows = max(1, _BAND_PIXELS // max(1, truth.shape[1]))
    for top in range(0, len(truth), rows):
        ids = torch.from_numpy(truth[top : top + rows].astype(np.int64))
        labeled = ids != ignore_id
        yield logits[:, top : top + rows][:, labeled], ids[labeled]
