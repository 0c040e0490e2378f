"""What a run recorded, as curves over its steps, for pictures and pages."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Curve = Sequence[tuple[float, float]]
"""Steps trained, and values, by step."""

_SMOOTHED = 30  # a curve is drawn as its mean over one part in so many


def metric_curve(lines: Sequence[Mapping[str, Any]], name: str, *, scale: float = 1.0) -> Curve:
    """The finite values of one metric in a run's lines, times `scale`."""
    return [
        (line["step"] + 1, scale * line[name])
        for line in lines
        if isinstance(line.get(name), int | float) and math.isfinite(line[name])
    ]


def smoothed(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The mean over the points at most a part of the curve away; short curves stay as they are.

    Args:
        values: of the curve's points, float64 [points].
    """
    reach = len(values) // _SMOOTHED
    if not reach:
        return values
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    low, high = np.maximum(places - reach, 0), np.minimum(places + reach + 1, len(values))
    means: npt.NDArray[np.float64] = (sums[high] - sums[low]) / (high - low)
    return means
