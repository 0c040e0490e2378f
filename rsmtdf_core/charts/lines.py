"""Line charts of metrics over the steps of runs, for PNG files and web pages.

A series is a metric of a group of runs. Several runs are drawn as their mean, one standard deviation to either side,
and a thin line for each run.

The size of a picture and the time to draw it are bounded: the first 24 series have a style and a name in the legend,
all others are thin gray lines, and long curves are thinned by the mean of consecutive points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rsmtdf_core.arrays import Doubles
from rsmtdf_core.charts.curves import Curve, smoothed, thinned
from rsmtdf_core.charts.style import (
    INK,
    MUTED,
    STYLES,
    LineStyle,
    look,
    new_figure,
    plain_axes,
    save_png,
    svg_element,
)
from rsmtdf_core.words import one_line, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D


_DOTTED = 30  # maximum number of points of a curve with markers
_PANEL = (5.4, 4.2)  # inches, size of a chart in a PNG file
_EMBEDDED = (4.6, 2.6)  # inches, size of a chart in a page
_LETTERS = 55  # characters per legend line and chart
_LONGEST = 80  # characters of a name in the legend
_MOST_POINTS = {"png": 100_000, "svg": 20_000}  # drawn points of a chart
_LEAST_POINTS = 20  # drawn points of a curve with more
_MOST_RUNS = 30  # thin lines of a series
_DESCRIBED = 6  # series in the description of a chart
_OTHERS = "#C4CBD2"


@dataclass(frozen=True)
class Series:
    """Curves of a metric that are drawn in the same style.

    Attributes:
        name: name in the legend.
        number: position in the legend, which determines color and dash.
        curves: a curve for each run; empty curves are skipped.
    """

    name: str
    number: int
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class LineChart:
    """Series that share a pair of axes.

    Attributes:
        title: name of the metric.
        unit: unit of its values.
        series: the series to draw.
        note: text at the top right, such as the best value.
        floor: the axis does not go below this value, unless all values are below it; None shows all values.
    """

    title: str
    unit: str
    series: tuple[Series, ...]
    note: str = ""
    floor: float | None = None

    @property
    def points(self) -> list[tuple[float, float]]:
        """The points of all curves."""
        return [point for series in self.series for curve in series.curves for point in curve]


def lines_picture(path: Path, charts: Sequence[LineChart]) -> None:
    """Write charts in two columns below a common legend. With an odd number of charts, the first fills a row.

    Args:
        path: the PNG file.
        charts: at least one chart. Series with the same number are the same series in all charts.
    """
    assert charts, "lines_picture needs at least one chart"
    wide, columns = len(charts) % 2, min(2, len(charts))
    rows = (len(charts) + 1) // 2
    with look():
        figure = new_figure(_PANEL[0] * columns, _PANEL[1] * rows)
        grid = figure.add_gridspec(rows, columns)
        for index, chart in enumerate(charts):
            row, column = divmod(index + wide, 2)
            cell = grid[0, :] if wide and index == 0 else grid[row, column]
            _draw(figure.add_subplot(cell), chart, _MOST_POINTS["png"], titled=True)
        names = _legend(charts)
        longest = max(1, *map(len, names.values()))
        figure.legend(
            [_handle(number) for number in names],
            list(names.values()),
            loc="outside upper left",
            ncols=max(1, min(2 * columns, _LETTERS * columns // longest)),
            frameon=False,
        )
        save_png(figure, path, cut=True)


def lines_svg(chart: LineChart) -> str:
    """Draw a chart with at least one point as an `<svg>` element, without title and legend; see `svg_element`."""
    steps = [step for step, _ in chart.points]
    label = (
        f"{chart.title}, {chart.unit}, from step {min(steps):,g} to {max(steps):,g}. {_ends(chart)}"
    )
    with look():
        figure = new_figure(*_EMBEDDED)
        _draw(figure.add_subplot(), chart, _MOST_POINTS["svg"], titled=False)
        figure.patch.set_visible(False)
        return svg_element(figure, label)


def _ends(chart: LineChart) -> str:
    """Describe the last value of each series, the mean over its runs, and its highest value."""
    texts = []
    for series in chart.series[:_DESCRIBED]:
        if curves := [curve for curve in series.curves if curve]:
            last = np.mean([curve[-1][1] for curve in curves])
            highest = max(value for curve in curves for _, value in curve)
            texts.append(f"{series.name}: {last:.3g} at the end, at most {highest:.3g}")
    return "; ".join(texts)


def _legend(charts: Sequence[LineChart]) -> dict[int, str]:
    """Return the names of the series with a style by number, and the count of the others under the next number."""
    names = {
        line.number: shortened(one_line(line.name), _LONGEST)
        for chart in charts
        for line in chart.series
    }
    styled = {number: name for number, name in names.items() if number < STYLES}
    if others := len(names) - len(styled):
        styled[STYLES] = f"{others:,} others"
    return styled


def _draw(axes: "Axes", chart: LineChart, points: int, *, titled: bool) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.patch.set_visible(False)
    curves = sum(min(len(series.curves), _MOST_RUNS) for series in chart.series)
    most = max(_LEAST_POINTS, points // max(1, curves))
    # Series with a style are drawn last, above the others.
    for series in sorted(chart.series, key=lambda series: series.number < STYLES):
        _draw_series(axes, series, most)
    if titled:
        axes.set_title(one_line(f"{chart.title}, {chart.unit}"), loc="left", size=10, color=INK)
        axes.set_title(one_line(chart.note), loc="right", size=9, color=MUTED)
    plain_axes(axes, grid="y")
    axes.margins(x=0.02)
    low, high = _limits(chart.points, axes.get_ylim())
    highest = max((value for _, value in chart.points), default=0.0)
    if chart.floor is not None and low < chart.floor < highest:
        low, high = chart.floor, highest + 0.05 * (highest - chart.floor)
    axes.set_ylim(low, high)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("steps", color=MUTED, size=9)


def _draw_series(axes: "Axes", series: Series, most: int) -> None:
    """Draw the curves of a series with at most `most` points each."""
    runs = [np.array(curve, np.float64).reshape(-1, 2).T for curve in series.curves if curve]
    if series.number >= STYLES:
        for steps, values in runs[:_MOST_RUNS]:
            axes.plot(*thinned(steps, smoothed(values), most), color=_OTHERS, linewidth=0.6)
        return
    style = LineStyle.of(series.number)
    line = partial(axes.plot, color=style.color, linestyle=style.pattern)
    dots = "o" if all(len(steps) <= _DOTTED for steps, _ in runs) else None
    if len(runs) == 1:
        [(steps, values)] = runs
        mean = smoothed(values)
        if mean is not values:  # draw the values behind their running mean
            behind = thinned(steps, values, most)
            axes.plot(*behind, color=style.color, linewidth=0.7, alpha=0.25)
        line(*thinned(steps, mean, most), linewidth=2, marker=dots, markersize=3.5)
    elif runs:
        for steps, values in runs[:_MOST_RUNS]:
            line(*thinned(steps, smoothed(values), most), linewidth=0.6, alpha=0.45)
        steps, values = _common(runs)
        mean, std = values.mean(axis=0), values.std(axis=0, ddof=1)
        line(*thinned(steps, mean, most), linewidth=2, marker=dots, markersize=3.5)
        (steps, low), (_, high) = (
            thinned(steps, mean - std, most),
            thinned(steps, mean + std, most),
        )
        axes.fill_between(steps, low, high, color=style.color, alpha=0.12, linewidth=0)


def _common(runs: Sequence[Doubles]) -> tuple[Doubles, Doubles]:
    """Return the steps [S] that all runs have, and the smoothed values [runs, S].

    A mean over other steps would jump at the end of a run.
    """
    steps = reduce(np.intersect1d, [steps for steps, _ in runs])
    return steps, np.stack(
        [
            smoothed(values[np.searchsorted(run_steps, steps, side="right") - 1])
            for run_steps, values in runs
        ]
    )


def _limits(
    points: Sequence[tuple[float, float]], auto: tuple[float, float]
) -> tuple[float, float]:
    """Return the limits of the y axis: matplotlib's, but not below zero without negative values, and not all noise."""
    values = [value for _, value in points]
    if not values:
        return auto
    low, high = min(values), max(values)
    # Means of equal values may differ in their last digits.
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        return low - 0.5 * abs(low), high + 0.5 * abs(high) if high else 1.0
    return (max(0.0, auto[0]) if low >= 0 else auto[0]), auto[1]


def _handle(number: int) -> "Line2D":
    from matplotlib.lines import Line2D

    if number >= STYLES:
        return Line2D([], [], color=_OTHERS, linewidth=1)
    style = LineStyle.of(number)
    return Line2D([], [], color=style.color, linestyle=style.pattern, linewidth=2)
