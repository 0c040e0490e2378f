"""Contact sheets stay within their margin, whatever the number, size and names of the pictures."""

import numpy as np
import pytest

from rsmtdf_core.charts.contact import MOST_CELLS, Cell, contact_sheet
from tests.pictures import assert_margin_is_white, pixels


@pytest.mark.parametrize("count", [1, 5, 7, MOST_CELLS])
def test_sheets_of_any_number_of_pictures_stay_within_the_margin(tmp_path, count):
    random = np.random.default_rng(0)
    cells = [
        Cell(
            f"{number}  a scene with a name that goes on and on",
            "similarity 0.5",
            random.integers(0, 200, (3 + 40 * (number % 9), 900 - 110 * (number % 8), 3), np.uint8),
        )
        for number in range(count)
    ]
    contact_sheet(tmp_path / "sheet.png", "a title " * 20, "a note " * 40, cells)
    picture = pixels(tmp_path / "sheet.png")
    assert_margin_is_white(picture)
    assert max(picture.shape) <= 3000


def test_a_small_picture_is_enlarged_without_blur(tmp_path):
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 0] = image[1, 1] = 255, 0, 0
    contact_sheet(tmp_path / "sheet.png", "t", "n", [Cell("a", "b", image)])
    picture = pixels(tmp_path / "sheet.png")
    assert (picture == (255, 0, 0)).all(axis=2).sum() == 2 * 130 * 130
