"""Weighted sums over cells that suffice to fit a ridge regression and to compare features.

Their size depends on the number of channels, not of cells, and sums of parts add up. So a fit without some of the
scenes needs no second look at their cells.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from rsmtdf_core.arrays import Doubles, Floats


@dataclass
class Moments:
    """Sums over cells with features x [D], class shares y [C] and weight w.

    Attributes:
        weight: sum of w.
        x: sum of w x, float64 [D].
        y: sum of w y, float64 [C].
        xx: sum of w x x', float64 [D, D].
        xy: sum of w x y', float64 [D, C].
        yy: sum of w |y|^2.
    """

    weight: float
    x: Doubles
    y: Doubles
    xx: Doubles
    xy: Doubles
    yy: float

    @classmethod
    def zeros(cls, channels: int, classes: int) -> Self:
        """Return the sums over no cells."""
        return cls(
            0.0,
            np.zeros(channels),
            np.zeros(classes),
            np.zeros((channels, channels)),
            np.zeros((channels, classes)),
            0.0,
        )

    def add(self, features: Floats, shares: Floats, weights: Floats) -> None:
        """Add cells: features [n, D], class shares [n, C] and weights [n], at least 0."""
        roots = np.sqrt(weights[weights > 0], dtype=np.float64)[:, None]
        features_ND = features[weights > 0] * roots
        shares_NC = shares[weights > 0] * roots
        self.weight += float(weights.sum(dtype=np.float64))
        self.x += (features_ND * roots).sum(axis=0)
        self.y += (shares_NC * roots).sum(axis=0)
        self.xx += features_ND.T @ features_ND
        self.xy += features_ND.T @ shares_NC
        self.yy += float(np.square(shares_NC).sum())

    @classmethod
    def total(cls, parts: Iterable["Moments"]) -> Self:
        """Return the sums over the cells of all parts, at least one."""
        first, *others = parts
        total = cls(
            first.weight, first.x.copy(), first.y.copy(), first.xx.copy(), first.xy.copy(), first.yy
        )
        for part in others:
            total.weight += part.weight
            total.x += part.x
            total.y += part.y
            total.xx += part.xx
            total.xy += part.xy
            total.yy += part.yy
        return total

    def channels(self, chosen: npt.NDArray[np.int64]) -> "Moments":
        """Return the sums for the chosen channels, int64 [d]."""
        return Moments(
            self.weight,
            self.x[chosen],
            self.y,
            self.xx[np.ix_(chosen, chosen)],
            self.xy[chosen],
            self.yy,
        )

    @property
    def covariance(self) -> Doubles:
        """Weighted covariance of the features, float64 [D, D]."""
        mean = self.x / self.weight
        return np.asarray(self.xx / self.weight - np.outer(mean, mean))
