"""Draws the training curves of a run."""

from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from rsmtdf_core.charts.curves import metric_curve, metric_names
from rsmtdf_core.charts.lines import LineChart, Series, lines_picture
from rsmtdf_core.errors import RunError

_KINDS = (("Loss", "per step", "loss", 1.0), ("mIoU", "percent", "miou", 100.0))


def curves_picture(path: Path, metrics: Sequence[Mapping[str, Any]]) -> None:
    """Write curves of the losses and of the mIoU over the steps of a run.

    Args:
        path: the PNG file.
        metrics: the recorded lines of a run in order, each with a "step" and numbers. Metrics with "loss" in their
            names are drawn in a chart, those with "miou" in another; all others are skipped.

    Raises:
        RunError: If the metrics contain neither a loss nor an mIoU.
    """
    numbers = count()
    charts = []
    for title, unit, word, scale in _KINDS:
        series = tuple(
            Series(name, next(numbers), (metric_curve(metrics, name, scale=scale),))
            for name in metric_names(metrics, word)
        )
        if series:
            note = _best(series) if word == "miou" else _phases(metrics)
            charts.append(LineChart(title, unit, series, note))
    if not charts:
        raise RunError("no loss or mIoU was recorded", remedy="continue the training")
    lines_picture(path, charts)


def _phases(metrics: Sequence[Mapping[str, Any]]) -> str:
    """Describe the phases before the method, each with the step that ends it."""
    ends = {line["phase"]: line["step"] + 1 for line in metrics if line.get("phase")}
    return ", ".join(f"{phase} until step {end:,}" for phase, end in ends.items())


def _best(series: Sequence[Series]) -> str:
    """Describe the highest value and its first step."""
    value, step, name = max(
        (value, -step, line.name) for line in series for step, value in line.curves[0]
    )
    of_series = f", {name}" if len(series) > 1 else ""
    return f"best {value:.1f} at step {-step:,.0f}{of_series}"
