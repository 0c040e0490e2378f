"""Ridge regression from features to class shares in closed form, cross-validated from sums alone.

Features are standardized, so the penalty is the same for features of any scale. For each held-out fold, an inner
cross-validation over the remaining folds chooses the penalty; no cell of the held-out fold is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch

from rsmtdf_core.arrays import Doubles, Floats
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

    def error(self, moments: Moments) -> float:
        """Return the mean squared error over the cells of the moments, summed over classes."""
        weights, bias = self.weights, self.bias
        fitted = np.sum(weights * (moments.xx @ weights)) + 2 * bias @ (moments.x @ weights)
        cross = np.sum(weights * moments.xy) + bias @ moments.y
        total = moments.yy - 2 * cross + fitted + moments.weight * bias @ bias
        return float(total / moments.weight)


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


def cross_validated(folds: Sequence[Moments]) -> list[LinearHead]:
    """Return a head for each fold, fitted without that fold.

    Args:
        folds: sums over the cells of each fold, with positive weights; at least two.
    """
    assert len(folds) >= 2, "one fold leaves no cells to fit"
    everything = range(len(folds))
    if len(folds) == 2:
        return [fit_ridge(folds[1 - fold], [USUAL_PENALTY])[0] for fold in everything]
    errors = np.zeros((len(folds), len(PENALTIES)))
    for left, right in combinations(everything, 2):
        rest = Moments.total(folds[k] for k in everything if k not in (left, right))
        heads = fit_ridge(rest, PENALTIES)
        errors[left] += [head.error(folds[right]) * folds[right].weight for head in heads]
        errors[right] += [head.error(folds[left]) * folds[left].weight for head in heads]
    chosen = [PENALTIES[int(row.argmin())] for row in errors]
    return [
        fit_ridge(Moments.total(folds[k] for k in everything if k != fold), [penalty])[0]
        for fold, penalty in zip(everything, chosen, strict=True)
    ]
