"""Computes the bars and confusion matrices of the page, as numbers for its style sheet."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.runs.compare import MeanStd
from rsmtdf_core.charts.confusion import percent


class ScoreBar(NamedTuple):
    """A score as a bar with a whisker of one standard deviation to either side, within 0 to 100 percent."""

    spread: MeanStd | None

    @property
    def mean(self) -> str:
        """Length of the bar, percent."""
        return f"{self._mean:.2f}"

    @property
    def left(self) -> str:
        """Start of the whisker, percent."""
        return f"{self._ends[0]:.2f}"

    @property
    def width(self) -> str:
        """Length of the whisker, percent; empty without a deviation."""
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
    """The pixels of a true class with a predicted class.

    Attributes:
        pixels: number of pixels.
        text: share of the row, percent.
        shade: strength of the cell's color, 0 to 100.
    """

    pixels: int
    text: str
    shade: int


class ConfusionRow(NamedTuple):
    """The cells of a true class.

    Attributes:
        name: name of the class.
        number: number of the class, from 1.
        pixels: number of pixels of the class.
        cells: a cell for each predicted class.
    """

    name: str
    number: int
    pixels: int
    cells: tuple[ConfusionCell, ...]


def confusion_rows(matrix: npt.NDArray[np.int64], names: Sequence[str]) -> list[ConfusionRow]:
    """Convert a confusion matrix [C, C] of pixel counts to rows of the page's table."""
    rows = []
    for number, (name, counts) in enumerate(zip(names, matrix.tolist(), strict=True), 1):
        pixels = sum(counts)
        rows.append(ConfusionRow(name, number, pixels, tuple(_cell(n, pixels) for n in counts)))
    return rows


def _cell(count: int, pixels: int) -> ConfusionCell:
    share = count / pixels if pixels else 0.0
    # A power below 1 makes small shares visible, which matter among the errors.
    return ConfusionCell(count, percent(count, pixels), round(100 * share**0.7))
