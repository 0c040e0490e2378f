"""Bars and confusion matrices of the page, as numbers for its style sheet."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.runs.compare import MeanStd
from rsmtdf_core.charts.confusion import percent


class ScoreBar(NamedTuple):
    """A score as a bar with a whisker of one standard deviation to either side, within 0 to 100 per cent."""

    spread: MeanStd | None

    @property
    def mean(self) -> str:
        """Length of the bar, per cent."""
        return f"{self._mean:.2f}"

    @property
    def left(self) -> str:
        """Start of the whisker, per cent."""
        return f"{self._ends[0]:.2f}"

    @property
    def width(self) -> str:
        """Length of the whisker, per cent; empty without a deviation."""
        low, high = self._ends
        return f"{high - low:.2f}" if self._std else ""

    @property
    def _mean(self) -> float:
        return 0.0 if self.spread is None else 100 * self.spread.mean

    @property
    def _std(self) -> float:
        return 0.0 if self.spread is None else 100 * (self.spread.std or 0.0)

    @property
    def _ends(self) -> tuple[float, float]:
        return max(0.0, self._mean - self._std), min(100.0, self._mean + self._std)


class ConfusionCell(NamedTuple):
    """Pixels of one true class that got one predicted class.

    Attributes:
        pixels: how many.
        text: their share of the row, per cent.
        shade: strength of the cell's color, 0 to 100.
    """

    pixels: int
    text: str
    shade: int


class ConfusionRow(NamedTuple):
    """The cells of one true class.

    Attributes:
        name: of the class.
        number: its place among the classes, from 1.
        pixels: of the class.
        cells: one for each predicted class.
    """

    name: str
    number: int
    pixels: int
    cells: tuple[ConfusionCell, ...]


def confusion_rows(matrix: npt.NDArray[np.int64], names: Sequence[str]) -> list[ConfusionRow]:
    """A confusion matrix [C, C] of pixel counts as rows of the page's table."""
    rows = []
    for number, (name, counts) in enumerate(zip(names, matrix.tolist(), strict=True), 1):
        pixels = sum(counts)
        rows.append(ConfusionRow(name, number, pixels, tuple(_cell(n, pixels) for n in counts)))
    return rows


def _cell(count: int, pixels: int) -> ConfusionCell:
    share = count / pixels if pixels else 0.0
    # Below linear, so that the few per cent that matter among the errors can be seen.
    return ConfusionCell(count, percent(count, pixels), round(100 * share**0.7))
