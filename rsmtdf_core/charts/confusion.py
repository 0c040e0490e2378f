"""Draws a confusion matrix, and formats its numbers in few characters."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsmtdf_core.charts.canvas import Canvas, canvas, text_width
from rsmtdf_core.charts.style import INK, MARGIN, MUTED
from rsmtdf_core.words import one_line, shortened

_RIGHT = (0.03, 0.42, 0.56)  # RGB of a diagonal cell with all pixels of its row
_WRONG = (0.76, 0.25, 0.05)  # RGB of another cell with all pixels of its row
_MOST_NUMBERED = 20  # maximum number of classes for numbers in the cells
_LINE = 24  # px between class names
_SIDE = 1280  # px, largest side of a matrix without numbers
_LONGEST = 32  # characters of a class name


def confusion_picture(
    path: Path,
    matrix: npt.NDArray[np.int64],
    names: Sequence[str],
    title: str = "Confusion matrix",
) -> None:
    """Write a confusion matrix with percentages of each row and pixel counts.

    Text takes most of the drawing time, and the number of cells is quadratic in the number of classes. With more than
    20 classes the cells have only colors, and with more than 53 some names are omitted; long names are shortened. The
    matrix has a side of at most 1,280 px.

    Args:
        path: the PNG file.
        matrix: pixel counts, int64 [C, C], with a row for each true class.
        names: the C class names.
        title: title of the picture, such as run and split.
    """
    names = [shortened(one_line(name), _LONGEST) for name in names]
    grid = _grid(names)
    note = "Predictions of each true class: "
    note += "percent of the row, pixels below" if grid.numbered else "darker for a larger share"
    width = max(grid.width, MARGIN + text_width(note, 8.5), MARGIN + text_width(title, 14))
    right = grid.left + grid.cell * len(names) + 96
    with canvas(path, width + MARGIN, grid.top + grid.cell * len(names) + MARGIN) as page:
        page.text(MARGIN, MARGIN + 12, title, 14, bold=True)
        page.text(MARGIN, MARGIN + 48, note, 8.5, color=MUTED)
        page.text(grid.left, MARGIN + 96, "Predicted", 8.5, color=MUTED)
        page.text(grid.left - 18, grid.top - 16, "Truth", 8.5, color=MUTED, align="right")
        page.text(right, grid.top - 16, "Pixels", 8.5, color=MUTED, align="right")
        for index in range(0, len(names), math.ceil(_LINE / grid.cell)):
            middle = grid.top + (index + 0.5) * grid.cell
            pixels = short_count(int(matrix[index].sum()))
            _names(page, grid, index, names[index])
            page.text(right, middle, pixels, 8.5, align="right")
        if grid.numbered:
            _numbered_cells(page, grid, matrix)
        else:
            page.image(grid.left, grid.top, _colored_cells(matrix, grid.cell))


class _Grid(NamedTuple):
    """The geometry of the matrix, in px and degrees.

    Attributes:
        left: left edge of the first column.
        top: top edge of the first row.
        cell: side of a cell.
        tilt: rotation of the predicted names; 0 if they fit horizontally.
        width: distance from the left edge of the picture to the end of the last text, without the margin.
        numbered: whether the cells have numbers.
    """

    left: int
    top: int
    cell: int
    tilt: int
    width: int
    numbered: bool


def _grid(names: Sequence[str]) -> _Grid:
    widest = max(text_width(name) for name in names)
    numbered = len(names) <= _MOST_NUMBERED
    # Wide enough for horizontal names if there are few classes, and never too small for the counts.
    cell = max(62, min(max(118, widest + 14), 150, 1100 // len(names)))
    if not numbered:
        cell = max(4, min(_LINE, _SIDE // len(names)))
    level = widest <= cell - 10
    tilt = 0 if level else 40 if numbered else 90
    head = 24 if level else int(widest * math.sin(math.radians(tilt))) + 20
    tail = max(100, 0 if level else int(widest * math.cos(math.radians(tilt))) - cell // 2 + 20)
    left = MARGIN + max(widest, 60) + 18
    return _Grid(
        left, MARGIN + 116 + head, cell, tilt, left + cell * len(names) + tail, numbered=numbered
    )


def _names(page: Canvas, grid: _Grid, index: int, name: str) -> None:
    """Write the name of a class before its row and above its column."""
    middle = (index + 0.5) * grid.cell
    page.text(grid.left - 18, grid.top + middle, name, align="right")
    if not grid.tilt:
        page.text(grid.left + middle, grid.top - 16, name, align="center")
        return
    aside = (
        0 if grid.numbered else 9
    )  # half a line, because vertical names start at their right edge
    page.text(grid.left + middle + aside, grid.top - 8, name, rotation=grid.tilt)


def _numbered_cells(page: Canvas, grid: _Grid, matrix: npt.NDArray[np.int64]) -> None:
    size = min(10.5, 6 + (grid.cell - 62) / 12)  # pt of the percent
    for index, row in enumerate(matrix):
        pixels = int(row.sum())
        for column, count in enumerate(row.tolist()):
            box = (grid.left + column * grid.cell, grid.top + index * grid.cell, grid.cell)
            _cell(page, box, count, pixels, size, right=index == column)


def _colored_cells(matrix: npt.NDArray[np.int64], side: int) -> npt.NDArray[np.uint8]:
    """Draw a confusion matrix [C, C] as cells of `side` px with gaps, uint8 [C side, C side, 3]."""
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    ends = np.where(np.eye(len(matrix), dtype=bool)[..., None], _RIGHT, _WRONG)
    fill = _tint(ends, shares[..., None])
    pixels = np.rint(255 * fill).astype(np.uint8).repeat(side, axis=0).repeat(side, axis=1)
    gap = np.arange(len(pixels)) % side == 0
    pixels[gap] = pixels[:, gap] = 255
    return pixels


def _tint(
    color: npt.NDArray[np.float64], share: float | npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return a color that is faint for a share of 0 and full for a share of 1."""
    # A power below 1 makes small shares visible, which matter among the errors.
    return 1 - (1 - color) * (0.04 + 0.96 * share**0.8)


def _cell(
    page: Canvas,
    box: tuple[int, int, int],
    count: int,
    pixels: int,
    size: float,
    *,
    right: bool,
) -> None:
    left, top, side = box
    share = count / pixels if pixels else 0.0
    page.box(
        left + 2, top + 2, side - 4, side - 4, _tint(np.array(_RIGHT if right else _WRONG), share)
    )
    center = left + side / 2
    if not count:
        page.text(center, top + side / 2, "0", size, color="#A9B2BB", align="center")
        return
    ink, quiet = ("white", "white") if share > 0.55 else (INK, INK if share > 0.1 else MUTED)
    page.text(center, top + side * 0.39, percent(count, pixels), size, color=ink, align="center")
    below = short_count(count)
    page.text(center, top + side * 0.69, below, size * 0.7, color=quiet, align="center")


def percent(count: int, total: int) -> str:
    """Format a cell's share of its row in percent: 0.0 only for no pixels, <0.1 for very few."""
    share = count / total if total else 0.0
    return f"{100 * share:.1f}" if share >= 0.0005 or not count else "<0.1"


def short_count(count: int) -> str:
    """Format a count in at most five characters and a unit: 950, 1.25 k, 12.5 M."""
    if count < 1000:
        return str(count)
    value, unit = count / 1000, "k"
    for larger in "MGT":
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {unit}"
