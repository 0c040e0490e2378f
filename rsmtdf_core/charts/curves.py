"""Curves of the recorded metrics of a run over its steps."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Curve = Sequence[tuple[float, float]]
"""Points (steps trained, value) in the order of the steps."""

_SMOOTHED = 30  # the running mean reaches over 1/30 of the points to either side


def metric_curve(lines: Sequence[Mapping[str, Any]], name: str, *, scale: float = 1.0) -> Curve:
    """Return the finite values of a metric in a run's lines, times `scale`; lines without a step are skipped."""
    return [
        (line["step"] + 1, scale * line[name])
        for line in lines
        if _is_number(line.get("step")) and _is_number(line.get(name))
    ]


def metric_names(lines: Sequence[Mapping[str, Any]], word: str) -> list[str]:
    """Return the metrics with a curve whose name contains `word`, in the order of their first occurrence."""
    names = dict.fromkeys(name for line in lines for name in line if word in name.lower())
    return [name for name in names if metric_curve(lines, name)]


def smoothed(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Smooth a curve by the running mean over 1/30 of the points to either side; short curves stay unchanged.

    Args:
        values: values of the points, float64 [points].
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
