"""The difference of two scores over the folds of a cross-validation, with an interval that is wide for few folds."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

MOST_FOLDS = 5
# Quantiles 0.975 of Student's t distribution, by degrees of freedom.
_QUANTILES = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean difference of two scores over folds.

    Attributes:
        mean: mean of the differences.
        margin: half-width of the 95 % interval; infinite for one fold.
        wins: number of folds with a positive difference.
        folds: number of folds.
    """

    mean: float
    margin: float
    wins: int
    folds: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes 0."""
        return abs(self.mean) > self.margin


def paired_difference(first: Sequence[float | None], second: Sequence[float | None]) -> Difference:
    """Compare the scores of two features on the same folds; folds without a score of both are skipped.

    Folds share most of their training data, so the usual standard error would be too small. The variance s^2 of the
    differences is therefore multiplied by 1 / k + 1 / (k - 1) instead of 1 / k, where the second term is the ratio of
    held-out to training data (Nadeau and Bengio 2003, "Inference for the generalization error", section 4).
    """
    differences = [
        a - b for a, b in zip(first, second, strict=True) if a is not None and b is not None
    ]
    folds = len(differences)
    if not folds:
        return Difference(0.0, math.inf, 0, 0)
    mean, wins = statistics.fmean(differences), sum(value > 0 for value in differences)
    if folds == 1:
        return Difference(mean, math.inf, wins, folds)
    error = statistics.stdev(differences) * math.sqrt(1 / folds + 1 / (folds - 1))
    return Difference(mean, _QUANTILES[folds - 1] * error, wins, folds)
