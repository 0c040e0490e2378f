"""The interval of a mean IoU over scenes: how much it depends on the choice of the scored scenes.

Poisson bootstrap: each of 500 resamples counts each scene as often as a Poisson number of mean 1 says, so that counts
are added scene by scene and none is kept (Chamandy et al., Estimating Uncertainty for Massive Data Streams, 2012).
"""

import numpy as np

from rsmtdf_core.arrays import Rows
from rsmtdf_core.errors import DataError
from rsmtdf_core.evaluation.counts import PixelCounts
from rsmtdf_core.evaluation.protocols.base import Protocol
from rsmtdf_core.scenes.manifest import Manifest

LEAST = 5
"""Fewer scenes have no interval: it would be far too narrow."""
_DRAWS = 500
_QUANTILES = (0.025, 0.975)


class SceneBootstrap:
    """Adds up the pixel counts of resampled scenes. The same scenes in the same order give the same interval.

    Args:
        classes: number of classes C.
    """

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._random = np.random.default_rng(0)
        self._scenes = 0
        self._sums = np.zeros((_DRAWS, classes * classes + classes), np.int64)

    def add(self, counts: PixelCounts) -> None:
        """Add a scene."""
        times = self._random.poisson(1.0, _DRAWS)
        values = np.concatenate([counts.matrix.ravel(), counts.ignored])
        cells = np.flatnonzero(values)
        self._sums[:, cells] += times[:, None] * values[cells]
        self._scenes += 1

    def interval(self, rule: Protocol, manifest: Manifest) -> tuple[float, float] | None:
        """Return the 95 % interval of the mean IoU, in 0..1; None with few scenes, or if the mean is undefined."""
        if self._scenes < LEAST:
            return None
        means = [
            mean for sums in self._sums if (mean := self._mean(sums, rule, manifest)) is not None
        ]
        if len(means) < _DRAWS / 2:
            return None
        low, high = np.quantile(means, _QUANTILES)
        return float(low), float(high)

    def _mean(self, sums: Rows, rule: Protocol, manifest: Manifest) -> float | None:
        cells = self._classes**2
        counts = PixelCounts(sums[:cells].reshape(self._classes, -1), sums[cells:])
        try:
            return rule.score(counts, manifest).miou
        except DataError:  # a resample without a pixel of a scored class
            return None
