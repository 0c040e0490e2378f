"""A comparison in two pictures: how the trainings went, and where each seed ended."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipeline.runs.compare.tables import spread_text
from pipeline.runs.compare.values import Comparison
from rsmtdf_core.evaluation.canvas import DPI, FAINT, INK, MUTED, SERIES
from rsmtdf_core.evaluation.curves import Curve, metric_curve, smoothed
from rsmtdf_core.files import atomic_file
from rsmtdf_core.words import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Lines = Sequence[Mapping[str, Any]]
"""The metrics of one run."""
_COLORS = (*SERIES, INK)
Dash = Literal["-", "--", ":", "-."]
_DASHES: tuple[Dash, ...] = ("-", "--", ":", "-.")


def curves_picture(path: Path, comparison: Comparison, lines: Sequence[Sequence[Lines]]) -> None:
    """Write validation mIoU, and the losses below it, over the steps: each group's mean, spread and seeds.

    Args:
        path: the PNG file.
        comparison: whose groups are drawn.
        lines: the metrics of each group's runs.
    """
    logged = {name for group in lines for run in group for line in run for name in line}
    losses = sorted(name for name in logged if name.startswith("loss"))
    rows = 1 + -(-len(losses) // 2)
    figure = _figure(10, 4.2 * rows)
    grid = figure.add_gridspec(rows, 2)
    _draw(
        figure.add_subplot(grid[0, :]),
        [[metric_curve(run, "miou", scale=100) for run in group] for group in lines],
        f"validation mIoU on {comparison.dataset}, per cent",
    )
    for place, name in enumerate(losses):
        axes = figure.add_subplot(grid[1 + place // 2, place % 2])
        title = f"{name}: each method's own sum" if name == "loss" else name
        _draw(axes, [[metric_curve(run, name) for run in group] for group in lines], title)
    labels = [_label(group.title) for group in comparison.groups]
    handles = [_handle(index) for index in range(len(labels))]
    columns = max(1, min(4, 110 // max(map(len, labels))))
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, frameon=False)
    _save(figure, path)


def scores_picture(path: Path, comparison: Comparison) -> None:
    """Write a row for each group: a dot for each seed, the mean, and one standard deviation to either side."""
    groups = comparison.groups
    figure = _figure(10, 1.3 + 0.45 * len(groups))
    axes = figure.add_subplot()
    for index, group in enumerate(groups):
        color = _COLORS[index % len(_COLORS)]
        scores = [100 * one.miou for one in group.runs if one.miou is not None]
        axes.plot(scores, [index] * len(scores), "o", color=color, markersize=5, alpha=0.6, mew=0)
        if group.miou is None:
            continue
        mean, std = 100 * group.miou.mean, 100 * (group.miou.std or 0)
        axes.plot([mean, mean], [index - 0.3, index + 0.3], color=color, linewidth=2.5)
        axes.plot([mean - std, mean + std], [index, index], color=color, linewidth=1.2)
        axes.annotate(
            spread_text(group.miou),
            (1, index),
            xycoords=("axes fraction", "data"),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=INK,
            size=9,
        )
    titles = [f"{_label(one.title)}, n = {len(one.runs)}" for one in groups]
    axes.set_yticks(range(len(groups)), titles)
    axes.set_ylim(len(groups) - 0.4, -0.6)
    _plain(axes, grid="x")
    axes.set_xlabel(
        f"{comparison.measure} on {comparison.dataset}, per cent; mean ± sample standard deviation",
        color=MUTED,
    )
    _save(figure, path)


def _draw(axes: "Axes", groups: Sequence[Sequence[Curve]], title: str) -> None:
    for index, runs in enumerate(groups):
        found = [dict(run) for run in runs if run]
        if not found:
            continue
        color, dash = _COLORS[index % len(_COLORS)], _dash(index)
        # At steps that all runs have, so that the mean never jumps because one of them ends.
        steps = np.array(sorted(set.intersection(*(set(run) for run in found))))
        values = np.array([[run[step] for step in steps] for run in found]).reshape(len(found), -1)
        values = np.stack([smoothed(one) for one in values])
        mean, marker = values.mean(axis=0), "o" if len(steps) <= 30 else None
        axes.plot(steps, mean, dash, color=color, linewidth=2, marker=marker, markersize=3.5)
        if len(found) > 1:
            std = values.std(axis=0, ddof=1)
            axes.fill_between(steps, mean - std, mean + std, color=color, alpha=0.12, linewidth=0)
            axes.plot(steps, values.T, dash, color=color, linewidth=0.6, alpha=0.45)
    axes.set_title(title, loc="left", size=10, color=INK)
    axes.set_xlabel("steps", color=MUTED)
    _plain(axes, grid="y")


def _label(title: str) -> str:
    """A group's title as it is: matplotlib takes what is between two dollar signs for a formula."""
    return one_line(title).replace("$", r"\$")


def _dash(index: int) -> Dash:
    """With the colour it tells 28 groups apart."""
    return _DASHES[index // len(_COLORS) % len(_DASHES)]


def _handle(index: int) -> Any:  # noqa: ANN401 - matplotlib ships no types here
    from matplotlib.lines import Line2D

    return Line2D([], [], color=_COLORS[index % len(_COLORS)], linestyle=_dash(index), linewidth=2)


def _plain(axes: "Axes", grid: Literal["x", "y"]) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.grid(axis=grid, color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelcolor=INK, length=0, labelsize=9)


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    # Makes room for every label, however long.
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def _save(figure: "Figure", path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    with atomic_file(path) as file:
        figure.savefig(file, format="png", bbox_inches="tight", facecolor="white")
