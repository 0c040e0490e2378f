"""Draws the training curves of a run."""

from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from rsmtdf_core.charts.curves import (
    EXPLAINED,
    THRESHOLDS,
    TRUSTED,
    Curve,
    metric_curve,
    metric_keys,
    metric_names,
)
from rsmtdf_core.charts.lines import LineChart, Series, lines_picture
from rsmtdf_core.errors import RunError

EXPLAINED_FLOOR = -25.0
"""Percent, where the axis of explained variance ends: a student's first tokens may be off by any factor."""

_MOST_CLASSES = 8  # curves in a chart of values by class


def curves_picture(
    path: Path, metrics: Sequence[Mapping[str, Any]], captions: Mapping[str, str] | None = None
) -> None:
    """Write curves of the losses, the mIoU, the pseudo-labels and the explained variance of a run.

    Args:
        path: the PNG file.
        metrics: the recorded lines of a run in order, each with a "step" and numbers. Metrics with "loss" in their
            names are drawn in a chart, those with "miou" in another; shares by class and by teacher in a chart each.
        captions: names of losses in the legend; a loss without a caption is named as in `metrics`.

    Raises:
        RunError: If the metrics contain neither a loss nor an mIoU.
    """
    numbers = count()

    def series(curves: Mapping[str, Curve]) -> tuple[Series, ...]:
        return tuple(Series(name, next(numbers), (curve,)) for name, curve in curves.items())

    titles = captions or {}
    losses = series(
        {
            f"{name}: {titles[name]}" if name in titles else name: metric_curve(metrics, name)
            for name in metric_names(metrics, "loss")
        }
    )
    scores = series(
        {name: metric_curve(metrics, name, scale=100) for name in metric_names(metrics, "miou")}
    )
    if not losses and not scores:
        raise RunError("no loss or mIoU was recorded", remedy="continue the training")
    overall = metric_curve(metrics, "trusted", scale=100)
    trusted, least_trusted = _by_class(metrics, TRUSTED, "trusted", "least trusted")
    thresholds, lowest = _by_class(metrics, THRESHOLDS, "threshold", "lowest")
    charts = [
        LineChart("Loss", "mean per step", losses, _phases(metrics)),
        LineChart("mIoU", "percent", scores, _best(scores) if scores else ""),
        LineChart(
            "Trusted pseudo-labels",
            "percent of the pixels labeled as each class",
            series(({"trusted, all pixels": overall} if overall else {}) | trusted),
            least_trusted,
        ),
        LineChart(
            "Explained variance of the teachers' tokens",
            "percent",
            series(
                {
                    f"tokens of {name}": metric_curve(metrics, EXPLAINED, name, scale=100)
                    for name in metric_keys(metrics, EXPLAINED)
                }
            ),
            floor=EXPLAINED_FLOOR,
        ),
        LineChart("Self-adaptive thresholds", "percent confidence", series(thresholds), lowest),
    ]
    lines_picture(path, [chart for chart in charts if chart.series])


def _by_class(
    metrics: Sequence[Mapping[str, Any]], metric: str, noun: str, least: str
) -> tuple[dict[str, Curve], str]:
    """Return the curve of each class in percent, and a note.

    With many classes only those with the smallest values at the end are drawn.
    """
    curves = {
        f"{noun}, {name}": metric_curve(metrics, metric, name, scale=100)
        for name in metric_keys(metrics, metric)
    }
    if len(curves) <= _MOST_CLASSES:
        return curves, ""
    smallest = sorted(curves, key=lambda name: curves[name][-1][1])[:_MOST_CLASSES]
    drawn = {name: curve for name, curve in curves.items() if name in smallest}
    return drawn, f"the {_MOST_CLASSES} {least} of {len(curves)} classes"


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
