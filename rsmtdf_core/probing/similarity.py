"""Similarity of a student's features to a teacher's tokens."""

import numpy as np

from rsmtdf_core.arrays import Doubles, Floats


def linear_cka(first: Doubles, second: Doubles, cross: Doubles) -> float:
    """Return the linear centered kernel alignment, in [0, 1] (Kornblith et al. 2019, arXiv 1905.00414).

    CKA = |C_xy|^2 / (|C_xx| |C_yy|) with Frobenius norms. It does not change with rotations and scales of either
    feature.

    Args:
        first: covariance of the first features, [D, D].
        second: covariance of the second features, [E, E].
        cross: covariance of the first with the second features, [D, E].
    """
    norms = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.square(cross).sum()) / norms if norms else 0.0


class CrossCovariance:
    """Weighted covariance between two features of the same cells, added up view by view.

    Args:
        first: channels D of the first features.
        second: channels E of the second features.
    """

    def __init__(self, first: int, second: int) -> None:
        self._weight = 0.0
        self._x, self._y = np.zeros(first), np.zeros(second)
        self._xy = np.zeros((first, second))

    def add(self, first: Floats, second: Floats, weights: Floats) -> None:
        """Add cells: features [n, D] and [n, E], and weights [n]."""
        weighted = first * weights[:, None].astype(np.float64)
        self._weight += float(weights.sum(dtype=np.float64))
        self._x += weighted.sum(axis=0)
        self._y += weights.astype(np.float64) @ second
        self._xy += weighted.T @ second

    @property
    def covariance(self) -> Doubles:
        """The covariance, float64 [D, E]."""
        means = np.outer(self._x / self._weight, self._y / self._weight)
        return np.asarray(self._xy / self._weight - means)


class ExplainedVariance:
    """Share of the variance of a teacher's tokens t that the student's translation s explains.

    1 - Var(t - s) / Var(t), with variances summed over the channels: 1 for equal tokens, 0 for a constant translation,
    negative if the translation is worse than a constant. A loss that ignores the scale of tokens, such as cosine,
    leaves this share undefined.

    Args:
        channels: number of channels D.
    """

    def __init__(self, channels: int) -> None:
        self._weight = 0.0
        self._sums = np.zeros((2, channels))
        self._squares = np.zeros(2)

    def add(self, teacher: Floats, student: Floats, weights: Floats) -> None:
        """Add tokens of both, [n, D], with weights [n]."""
        weights_N = weights.astype(np.float64)
        self._weight += float(weights_N.sum())
        for index, values in enumerate((teacher, teacher - student)):
            self._sums[index] += weights_N @ values
            self._squares[index] += float(weights_N @ np.square(values, dtype=np.float64).sum(1))

    @property
    def share(self) -> float | None:
        """The explained share; None for constant tokens of the teacher."""
        means = self._sums / self._weight
        total, residual = self._squares / self._weight - np.square(means).sum(axis=1)
        return float(1 - residual / total) if total > 0 else None
