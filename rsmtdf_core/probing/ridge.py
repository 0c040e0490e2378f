"""Ridge regression from features to class shares in closed form, cross-validated by fold.

Features are standardized, so the penalty is the same for features of any scale. For each held-out fold, an inner
cross-validation over the other folds chooses the penalty with the best mean IoU on cells. The squared error would
choose larger penalties, with which only the most frequent classes are predicted. No cell of the held-out fold is used.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch

from rsmtdf_core.arrays import Doubles, Floats, Rows
from rsmtdf_core.probing.moments import Moments

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Choices of the ridge penalty, in units of the variance of a standardized feature."""
USUAL_PENALTY = 1e-1
"""The penalty with two folds, which are too few for an inner cross-validation."""
# Of the mean square of a channel; a channel with less variance is constant except for rounding.
_LEAST_VARIANCE = 1e-10


@dataclass(frozen=True)
class LinearHead:
    """A linear map from features to class scores.

    Attributes:
        weights: float64 [D, C].
        bias: float64 [C].
    """

    weights: Doubles
    bias: Doubles

    def __call__(self, features: Floats) -> Floats:
        """Return the scores, float32 [n, C], of features [n, D]."""
        return np.asarray(features @ self.weights + self.bias, np.float32)


def fit_ridge(moments: Moments, penalties: Sequence[float]) -> list[LinearHead]:
    """Fit a head for each penalty p: minimize the mean squared error + p |weights of standardized features|^2.

    Args:
        moments: sums over cells with a positive total weight.
        penalties: positive numbers.
    """
    means, shares = moments.x / moments.weight, moments.y / moments.weight
    covariance = moments.covariance
    variances = covariance.diagonal().clip(min=0)
    varies = variances > _LEAST_VARIANCE * moments.xx.diagonal() / moments.weight
    scales = np.zeros(len(variances))
    scales[varies] = 1 / np.sqrt(variances[varies])
    correlation = torch.from_numpy(covariance * np.outer(scales, scales))
    targets = moments.xy / moments.weight - np.outer(means, shares)
    standardized = torch.from_numpy(targets * scales[:, None])
    heads = []
    for penalty in penalties:
        matrix = correlation + penalty * torch.eye(len(scales), dtype=torch.float64)
        solution = torch.cholesky_solve(standardized, torch.linalg.cholesky(matrix)).numpy()
        weights = solution * scales[:, None]
        heads.append(LinearHead(weights, shares - means @ weights))
    return heads


class CrossValidation:
    """Fits a head without each fold. Between the two steps, `add` sees the cells of every view once more.

    Args:
        folds: sums over the cells of each fold, with positive weights; at least two.
    """

    def __init__(self, folds: Sequence[Moments]) -> None:
        assert len(folds) >= 2, "one fold leaves no cells to fit"
        self._folds = list(folds)
        classes = len(folds[0].y)
        self._inner = [_InnerHeads(fold) for fold in range(len(folds))]
        if len(folds) > 2:
            for left, right in combinations(range(len(folds)), 2):
                heads = fit_ridge(self._without(left, right), PENALTIES)
                self._inner[left].append(right, heads)
                self._inner[right].append(left, heads)
        self._confusion = np.zeros((len(folds), len(PENALTIES), classes, classes))

    def add(self, fold: int, features: Floats, shares: Floats, weights: Floats) -> None:
        """Score the heads that saw neither this fold nor another one, on cells of this fold.

        Args:
            fold: fold of the cells.
            features: [n, D].
            shares: class shares, [n, C].
            weights: [n].
        """
        inner = self._inner[fold]
        pixels = shares * weights[:, None]
        for held_out, predicted in inner.predicted(features):
            for confusion, classes in zip(self._confusion[held_out], predicted.T, strict=True):
                np.add.at(confusion, classes, pixels)

    def heads(self) -> list[LinearHead]:
        """Return a head for each fold, fitted without that fold."""
        everything = range(len(self._folds))
        if len(everything) == 2:
            return [fit_ridge(self._folds[1 - fold], [USUAL_PENALTY])[0] for fold in everything]
        chosen = [PENALTIES[int(_mean_iou(fold).argmax())] for fold in self._confusion]
        return [
            fit_ridge(self._without(fold), [penalty])[0]
            for fold, penalty in zip(everything, chosen, strict=True)
        ]

    def _without(self, *excluded: int) -> Moments:
        return Moments.total(
            moments for fold, moments in enumerate(self._folds) if fold not in excluded
        )


class _InnerHeads:
    """The heads that are scored on a fold: for each other fold, those fitted without both, by penalty."""

    def __init__(self, fold: int) -> None:
        self.fold = fold
        self._held_out: list[int] = []
        self._weights: list[Floats] = []
        self._biases: list[Floats] = []

    def append(self, held_out: int, heads: Sequence[LinearHead]) -> None:
        self._held_out.append(held_out)
        self._weights += [head.weights.astype(np.float32) for head in heads]
        self._biases += [head.bias.astype(np.float32) for head in heads]

    def predicted(self, features: Floats) -> Iterator[tuple[int, Rows]]:
        """Yield the other folds with the classes that each of their heads predicts, int64 [n, penalties]."""
        if not self._held_out:
            return
        # One product for all heads is much faster than many small products.
        scores = features @ np.hstack(self._weights) + np.hstack(self._biases)
        shape = (len(features), len(self._held_out), len(PENALTIES), -1)
        classes = scores.reshape(shape).argmax(axis=-1)
        for number, held_out in enumerate(self._held_out):
            yield held_out, classes[:, number]


def _mean_iou(confusion: Doubles) -> Doubles:
    """Return the mean IoU of each matrix, [P, C, C] -> [P], over classes of the truth or the prediction."""
    right = np.diagonal(confusion, axis1=1, axis2=2)
    union = confusion.sum(axis=1) + confusion.sum(axis=2) - right
    occurs = union > 0
    iou = np.divide(right, union, out=np.zeros_like(union), where=occurs)
    return np.asarray(iou.sum(axis=1) / np.maximum(occurs.sum(axis=1), 1))
