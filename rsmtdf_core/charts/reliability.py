"""Draws reliability diagrams: accuracy by confidence, above the share of pixels by confidence."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rsmtdf_core.charts.style import (
    FAINT,
    INK,
    MUTED,
    LineStyle,
    look,
    new_figure,
    plain_axes,
    save_png,
    svg_element,
)
from rsmtdf_core.words import one_line, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PICTURE = (5.4, 5.6)  # inches
_EMBEDDED = (4.6, 3.6)  # inches, in a page
_LONGEST = 48  # characters of a name
_MOST = 24  # curves in a diagram


class ReliabilityCurve(NamedTuple):
    """Accuracy by confidence of a model, in bins of equal width from the lowest confidence on.

    Attributes:
        name: name in the legend.
        pixels: number of pixels of each bin.
        confidences: mean confidence of each bin, 0 to 1.
        accuracies: share of right pixels of each bin, 0 to 1.
    """

    name: str
    pixels: Sequence[int]
    confidences: Sequence[float]
    accuracies: Sequence[float]

    @property
    def error(self) -> float:
        """The mean distance of confidence and accuracy, weighted by pixels, 0 to 1."""
        distances = np.abs(np.subtract(self.confidences, self.accuracies))
        return float(np.dot(self.pixels, distances) / max(1, sum(self.pixels)))


def reliability_picture(path: Path, curves: Sequence[ReliabilityCurve], title: str) -> None:
    """Write a diagram of at least one curve as PNG. Bins without pixels have no point."""
    with look():
        figure = _figure(curves, _PICTURE, legend=True)
        figure.suptitle(one_line(title), x=0.02, ha="left", size=10, color=INK)
        save_png(figure, path, cut=True)


def reliability_svg(curves: Sequence[ReliabilityCurve], label: str) -> str:
    """Draw a diagram of at least one curve as an `<svg>` element, without a legend; see `svg_element` for `label`."""
    with look():
        figure = _figure(curves, _EMBEDDED, legend=False)
        figure.patch.set_visible(False)
        return svg_element(figure, label)


def _figure(
    curves: Sequence[ReliabilityCurve], size: tuple[float, float], *, legend: bool
) -> "Figure":
    assert curves, "a reliability diagram needs at least one curve"
    figure = new_figure(*size)
    grid = figure.add_gridspec(2, 1, height_ratios=(3, 1))
    upper = figure.add_subplot(grid[0])
    lower = figure.add_subplot(grid[1], sharex=upper)
    upper.plot([0, 100], [0, 100], color=MUTED, linewidth=1, linestyle=":")
    for number, curve in enumerate(curves[:_MOST]):
        style = LineStyle.of(number)
        pixels = np.array(curve.pixels)
        filled = pixels > 0
        upper.plot(
            100 * np.array(curve.confidences)[filled],
            100 * np.array(curve.accuracies)[filled],
            color=style.color,
            linestyle=style.pattern,
            linewidth=2,
            marker="o",
            markersize=3.5,
            label=shortened(one_line(curve.name), _LONGEST),
        )
        edges = np.linspace(0, 100, len(pixels) + 1)
        shares = 100 * pixels / max(1, pixels.sum())
        lower.stairs(shares, edges, color=style.color, linestyle=style.pattern, linewidth=1.5)
    for axes in (upper, lower):
        axes.patch.set_visible(False)
        plain_axes(axes, grid="y")
        axes.set_xlim(0, 101)
        axes.spines["left"].set_color(FAINT)
    upper.set_ylim(0, 101)
    lower.set_ylim(bottom=0)
    upper.tick_params(labelbottom=False)
    upper.set_ylabel("right, %", color=MUTED, size=9)
    lower.set_ylabel("pixels, %", color=MUTED, size=9)
    lower.set_xlabel("confidence, %", color=MUTED, size=9)
    if legend:
        # A legend of the axes, because one of the figure would cover the label of the lower axis.
        upper.legend(
            loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.3, frameon=False, fontsize=9
        )
    return figure
