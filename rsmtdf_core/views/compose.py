"""Compose the teacher tokens of a mixed view from those of two unmixed views.

If the teachers saw unmixed views (settings.teacher_sees "strong" or "weak"), the student still
trains on mixed ones. Token cells inside the CutMix box take the partner's tokens. Cells on the edge
of the box show both views and have no matching teacher token, so the loss skips them.
"""

import numpy as np

from rsmtdf_core.arrays import Mask
from rsmtdf_core.views.view import Box


def box_cells(box: Box | None, crop: int, grid: tuple[int, int]) -> tuple[Mask, Mask]:
    """Find the cells of a token grid inside a box, and the cells that its edge cuts.

    Args:
        box: the box, px; None for no box.
        crop: side of the view, px; it need not be a multiple of the grid.
        grid: rows and columns of the tokens.

    Returns:
        `inside` and `straddling`, bool [h, w], disjoint.
    """
    if box is None:
        no_cells = np.zeros(grid, np.bool_)
        return no_cells, no_cells.copy()
    rows, touched_rows = _axis_cells(box.top, box.height, crop, grid[0])
    columns, touched_columns = _axis_cells(box.left, box.width, crop, grid[1])
    inside = rows[:, None] & columns
    return inside, touched_rows[:, None] & touched_columns & ~inside


def _axis_cells(start: int, length: int, crop: int, cells: int) -> tuple[Mask, Mask]:
    """Find the cells of an axis within an interval and those that touch it, in exact integers."""
    edges = np.arange(cells + 1) * crop  # in units of 1 / cells px
    first, last = start * cells, (start + length) * cells
    within = (first <= edges[:-1]) & (edges[1:] <= last)
    return within, (first < edges[1:]) & (edges[:-1] < last)
