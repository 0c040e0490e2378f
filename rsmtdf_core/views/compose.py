"""Which tokens of a mixed view can be had from those of two unmixed ones.

Where the teachers saw whole views (settings.teacher_sees "strong" or "weak"), the student still
trains on mixed ones. Token cells that lie inside the CutMix box take the partner's tokens; cells
that its edge cuts show both views, have no teacher token of their own and are left out of the loss.
"""

import numpy as np

from rsmtdf_core.arrays import Mask
from rsmtdf_core.views.view import Box


def box_cells(box: Box | None, crop: int, grid: tuple[int, int]) -> tuple[Mask, Mask]:
    """Which cells of a token grid over a crop lie inside a box, and which its edge cuts.

    Args:
        box: the box, px; None for none.
        crop: side of the view, px; it need not be a multiple of the grid.
        grid: rows and columns of the tokens.

    Returns:
        `inside` and `straddling`, bool [h, w], disjoint.
    """
    if box is None:
        nothing = np.zeros(grid, np.bool_)
        return nothing, nothing.copy()
    rows, touched_rows = _axis_cells(box.top, box.height, crop, grid[0])
    columns, touched_columns = _axis_cells(box.left, box.width, crop, grid[1])
    inside = rows[:, None] & columns
    return inside, touched_rows[:, None] & touched_columns & ~inside


def _axis_cells(start: int, length: int, crop: int, cells: int) -> tuple[Mask, Mask]:
    """Which cells of an axis lie within a stretch of it and which touch it, in exact integers."""
    edges = np.arange(cells + 1) * crop  # in units of 1 / cells px
    first, last = start * cells, (start + length) * cells
    within = (first <= edges[:-1]) & (edges[1:] <= last)
    return within, (first < edges[1:]) & (edges[:-1] < last)
