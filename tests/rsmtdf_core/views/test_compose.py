import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.views.compose import box_cells
from rsmtdf_core.views.plan import Box


@st.composite
def boxes(draw, crop):
    width, height = draw(st.integers(1, crop)), draw(st.integers(1, crop))
    left, top = draw(st.integers(0, crop - width)), draw(st.integers(0, crop - height))
    return Box(left, top, width, height)


@given(box=boxes(60), grid=st.sampled_from([(4, 4), (5, 6), (60, 12), (1, 1)]))
def test_cells_are_those_that_the_pixels_show(box, grid):
    shown = np.zeros((60, 60), np.bool_)
    shown[box.top : box.top + box.height, box.left : box.left + box.width] = True
    cells = shown.reshape(grid[0], 60 // grid[0], grid[1], 60 // grid[1])
    every, some = cells.all(axis=(1, 3)), cells.any(axis=(1, 3))
    inside, straddling = box_cells(box, 60, grid)
    np.testing.assert_array_equal(inside, every)
    np.testing.assert_array_equal(straddling, some & ~every)


def test_grids_that_do_not_divide_the_crop_are_cut_exactly():
    inside, straddling = box_cells(Box(0, 0, 518, 65), 518, (16, 16))  # cells of 32.375 px
    assert inside[:2].all()
    assert straddling[2].all()
    assert inside.sum() + straddling.sum() == 3 * 16
    inside, straddling = box_cells(Box(0, 0, 518, 64), 518, (16, 16))
    assert (inside.sum(), straddling.sum()) == (16, 16)


def test_no_box_touches_no_cell():
    assert not np.any(box_cells(None, 518, (37, 37)))
