"""Draws the training curves of a run."""

from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from rsmtdf_core.charts.curves import (
    EXPLAINED,
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

_MOST_CLASSES = 8  # curves in the chart of trusted pixels


def curves_picture(
    path: Path, metrics: Sequence[Mapping[str, Any]], captions: Mapping[str, str] | None = None
) -> None:
    """Write curves of the losses, the mIoU, the trusted pseudo-labels and the explained variance of a run.

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
    trusted, note = _trusted(metrics)
    charts = [
        LineChart("Loss", "mean per step", losses),
        LineChart("mIoU", "percent", scores, _best(scores) if scores else ""),
        LineChart(
            "Trusted pseudo-labels",
            "percent of the pixels labeled as each class",
            series(trusted),
            note,
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
    ]
    lines_picture(path, [chart for chart in charts if chart.series])


def _trusted(metrics: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Curve], str]:
    """Return the curves of trusted pixels in percent, for all classes together and each class, and a note.

    With many classes only those with the smallest shares at the end are drawn.
    """
    curves = {
        f"trusted, {name}": metric_curve(metrics, TRUSTED, name, scale=100)
        for name in metric_keys(metrics, TRUSTED)
    }
    note = ""
    if len(curves) > _MOST_CLASSES:
        note = f"the {_MOST_CLASSES} least trusted of {len(curves)} classes"
        least = sorted(curves, key=lambda name: curves[name][-1][1])[:_MOST_CLASSES]
        curves = {name: curve for name, curve in curves.items() if name in least}
    overall = metric_curve(metrics, "trusted", scale=100)
    return ({"trusted, all pixels": overall} if overall else {}) | curves, note


def _best(series: Sequence[Series]) -> str:
    """Describe the highest value and its first step."""
    value, step, name = max(
        (value, -step, line.name) for line in series for step, value in line.curves[0]
    )
    of_series = f", {name}" if len(series) > 1 else ""
    return f"best {value:.1f} at step {-step:,.0f}{of_series}"
