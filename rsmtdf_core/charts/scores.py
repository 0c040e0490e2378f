"""Draws the scores of groups of runs: each seed, the mean and the standard deviation."""

from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import NamedTuple

from rsmtdf_core.charts.style import INK, MUTED, LineStyle, look, new_figure, plain_axes, save_png
from rsmtdf_core.words import one_line, shortened


class ScoreRow(NamedTuple):
    """A row of the picture, with scores in percent.

    Attributes:
        name: name of the group.
        scores: a score for each run.
        mean: mean of the scores; None without scores.
        std: standard deviation of the scores; 0 draws no spread.
        text: mean and standard deviation as text, at the end of the row.
    """

    name: str
    scores: tuple[float, ...]
    mean: float | None
    std: float
    text: str


_MOST_ROWS = 60
_LONGEST = 80  # characters of a row's name


def scores_picture(path: Path, rows: Sequence[ScoreRow], axis: str) -> None:
    """Write rows with a dot for each run, the mean, and one standard deviation to either side.

    Of more than 60 rows only those with the highest means are drawn, best first.

    Args:
        path: the PNG file.
        rows: a row for each group.
        axis: label of the axis.
    """
    if len(rows) > _MOST_ROWS:
        axis += f" (the best {_MOST_ROWS} of {len(rows):,})"
        rows = sorted(rows, key=lambda row: -inf if row.mean is None else row.mean, reverse=True)
        rows = rows[:_MOST_ROWS]
    with look():
        figure = new_figure(10, 1.3 + 0.45 * len(rows))
        axes = figure.add_subplot()
        for index, row in enumerate(rows):
            color = LineStyle.of(index).color
            level = [index] * len(row.scores)
            axes.plot(row.scores, level, "o", color=color, markersize=5, alpha=0.6, mew=0)
            if row.mean is None:
                continue
            low, high = row.mean - row.std, row.mean + row.std
            axes.plot([row.mean] * 2, [index - 0.3, index + 0.3], color=color, linewidth=2.5)
            axes.plot([low, high], [index, index], color=color, linewidth=1.2)
            axes.annotate(
                row.text,
                (1, index),
                xycoords=("axes fraction", "data"),
                xytext=(8, 0),
                textcoords="offset points",
                va="center",
                color=INK,
                size=9,
            )
        axes.set_yticks(range(len(rows)), [shortened(one_line(row.name), _LONGEST) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        plain_axes(axes, grid="x")
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_xlabel(axis, color=MUTED)
        save_png(figure, path, cut=True)
