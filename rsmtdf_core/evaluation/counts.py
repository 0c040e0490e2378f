"""Pixel counts by true and predicted class over all scenes, the basis of every protocol."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt


class PixelCounts(NamedTuple):
    """Pixel counts of the scored scenes.

    Attributes:
        matrix: int64 [C, C], labeled pixels with a row for each true class and a column for each
            predicted class.
        ignored: int64 [C], predictions on pixels that the truth ignores. Some public code counts
            them against a class.
    """

    matrix: npt.NDArray[np.int64]
    ignored: npt.NDArray[np.int64]

    @classmethod
    def zeros(cls, classes: int) -> Self:
        """Return empty counts."""
        return cls(np.zeros((classes, classes), np.int64), np.zeros(classes, np.int64))

    def plus(self, other: Self) -> Self:
        """Return the counts of both."""
        return type(self)(self.matrix + other.matrix, self.ignored + other.ignored)

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """All predictions by class, including those on ignored pixels, int64 [C]."""
        return np.asarray(self.matrix.sum(axis=0) + self.ignored)


def only_class(counts: PixelCounts, names: Sequence[str]) -> str | None:
    """Return the name of the only predicted class, or None if there are several or none."""
    predicted = np.flatnonzero(counts.predicted)
    return names[predicted[0]] if len(predicted) == 1 and len(names) > 1 else None


class Confusion:
    """Accumulates pixel counts scene by scene.

    Args:
        classes: number of classes C, with ids 0..C-1.
        ignore_id: id of ignored pixels in the truth.
    """

    def __init__(self, classes: int, ignore_id: int = 255) -> None:
        self._classes = classes
        self._ignore_id = ignore_id
        self._counts = PixelCounts.zeros(classes)

    def add(self, truth: npt.NDArray[np.uint8], prediction: npt.NDArray[np.uint8]) -> PixelCounts:
        """Add a scene, given the class ids [H, W] of the truth and of the prediction; return its counts."""
        import torch
        from torchmetrics.functional.classification import multiclass_confusion_matrix

        assert truth.shape == prediction.shape, f"{truth.shape} is not {prediction.shape}"
        assert prediction.size == 0 or prediction.max() < self._classes, "a prediction has no class"
        counts = multiclass_confusion_matrix(
            # int64, because the combined id C * truth + prediction does not fit into a byte
            torch.from_numpy(prediction.astype(np.int64)),
            torch.from_numpy(truth.astype(np.int64)),
            num_classes=self._classes,
            ignore_index=self._ignore_id,
            validate_args=False,  # would sort the pixels of every scene; the reader has checked the ids
        )
        ignored = np.bincount(prediction[truth == self._ignore_id], minlength=self._classes)
        scene = PixelCounts(counts.numpy(), ignored)
        matrix, total_ignored = self._counts
        matrix += scene.matrix
        total_ignored += ignored
        return scene

    @property
    def counts(self) -> PixelCounts:
        """A copy of the current counts."""
        return PixelCounts(*(array.copy() for array in self._counts))
