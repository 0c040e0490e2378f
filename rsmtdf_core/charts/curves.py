"""Curves of the recorded metrics of a run over its steps."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Curve = Sequence[tuple[float, float]]
"""Points (steps trained, value) in the order of the steps."""

TRUSTED = "trusted_by_class"
"""The key in a line of metrics for the share of trusted pseudo-labels, in 0..1 by class name."""
THRESHOLDS = "threshold_by_class"
"""The key in a line of metrics for the self-adaptive thresholds of pseudo-labels, in 0..1 by class name."""
EXPLAINED = "explained_variance"
"""The key in a line of metrics for the explained variance of the tokens, at most 1, by teacher."""

_SMOOTHED = 30  # the running mean reaches over 1/30 of the points to either side


def metric_curve(
    lines: Sequence[Mapping[str, Any]], name: str, key: str | None = None, *, scale: float = 1.0
) -> Curve:
    """Return the finite values of a metric in a run's lines, times `scale`; lines without a step are skipped.

    Args:
        lines: the lines of metrics.
        name: the metric.
        key: the class or teacher, for a metric with several values; None for a single number.
        scale: factor on the values.
    """
    return [
        (line["step"] + 1, scale * value)
        for line in lines
        if _is_number(line.get("step"))
        if _is_number(value := _value(line, name, key))
    ]


def _value(line: Mapping[str, Any], name: str, key: str | None) -> Any:  # noqa: ANN401 - JSON from a file
    value = line.get(name)
    if key is None:
        return value
    return value.get(key) if isinstance(value, Mapping) else None


def metric_names(lines: Sequence[Mapping[str, Any]], word: str) -> list[str]:
    """Return the metrics with a curve whose name contains `word`, in the order of their first occurrence."""
    names = dict.fromkeys(name for line in lines for name in line if word in name.lower())
    return [name for name in names if metric_curve(lines, name)]


def metric_keys(lines: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """Return the classes or teachers with a curve of a metric, in the order of their first occurrence."""
    values = [value for line in lines if isinstance(value := line.get(name), Mapping)]
    keys = dict.fromkeys(str(key) for value in values for key in value)
    return [key for key in keys if metric_curve(lines, name, key)]


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


def thinned(
    steps: npt.NDArray[np.float64], values: npt.NDArray[np.float64], most: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Reduce a curve to at most `most` points, each the mean of consecutive points; shorter curves stay unchanged.

    Args:
        steps: steps of the points, float64 [points].
        values: their values, float64 [points].
        most: maximum number of points, at least 1.
    """
    if len(steps) <= most:
        return steps, values
    edges = np.linspace(0, len(steps), most + 1).astype(int)
    sizes = np.diff(edges)
    return np.add.reduceat(steps, edges[:-1]) / sizes, np.add.reduceat(values, edges[:-1]) / sizes


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
