"""Metrics that a run recorded, as curves over its steps."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Curve = Sequence[tuple[float, float]]
"""Points (steps trained, value) in the order of the steps."""

_SMOOTHED = 30  # a curve is drawn as its mean over one part in so many


def metric_curve(lines: Sequence[Mapping[str, Any]], name: str, *, scale: float = 1.0) -> Curve:
    """The finite values of one metric in a run's lines, times `scale`; lines without a step are left out."""
    return [
        (line["step"] + 1, scale * line[name])
        for line in lines
        if _is_number(line.get("step")) and _is_number(line.get(name))
    ]


def metric_names(lines: Sequence[Mapping[str, Any]], word: str) -> list[str]:
    """The metrics whose name contains `word` and that have a curve, in the order in which they first occur."""
    names = dict.fromkeys(name for line in lines for name in line if word in name.lower())
    return [name for name in names if metric_curve(lines, name)]


def smoothed(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The running mean over one thirtieth of the points to either side; short curves stay as they are.

    Args:
        values: of the curve's points, float64 [points].
    """
    reach = len(values) // _SMOOTHED
    if not reach:
        return values
    sums = np.concatenate([[0.0], np.cumsum(values)])
    centers = np.arange(len(values))
    low, high = np.maximum(centers - reach, 0), np.minimum(centers + reach + 1, len(values))
    means: npt.NDArray[np.float64] = (sums[high] - sums[low]) / (high - low)
    return means


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
