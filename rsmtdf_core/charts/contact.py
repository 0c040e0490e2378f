"""Draws a contact sheet: small pictures in rows, each with a title and a caption."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from rsmtdf_core.arrays import Pixels
from rsmtdf_core.charts.canvas import canvas, text_width
from rsmtdf_core.charts.style import MARGIN, MUTED
from rsmtdf_core.words import one_line, shortened

MOST_CELLS = 48
"""Largest number of pictures in a sheet."""

_COLUMNS = 6
_SIDE = 260  # px, longer side of a picture
_TEXT = 76  # px below a picture
_GAP = 16  # px between pictures
_LETTERS = 28  # characters of a title


class Cell(NamedTuple):
    """A picture of a contact sheet.

    Attributes:
        title: such as rank and scene; shortened to 28 characters.
        caption: such as a score; shortened in the same way.
        image: uint8 [H, W, 3].
    """

    title: str
    caption: str
    image: Pixels


def contact_sheet(path: Path, title: str, note: str, cells: Sequence[Cell]) -> None:
    """Write pictures in rows of six, each scaled to a longer side of 260 px.

    Args:
        path: the PNG file.
        title: title of the sheet.
        note: a line below the title.
        cells: 1 to 48 pictures.
    """
    assert 1 <= len(cells) <= MOST_CELLS, len(cells)
    columns = min(_COLUMNS, max(3, len(cells)))
    rows = -(-len(cells) // columns)
    title, note = shortened(one_line(title), 80), shortened(one_line(note), 110)
    inner = max(
        columns * (_SIDE + _GAP) - _GAP, text_width(title, 13, bold=True), text_width(note, 8.5)
    )
    width = 2 * MARGIN + inner
    top = MARGIN + 72
    with canvas(path, width, top + rows * (_SIDE + _TEXT) + MARGIN - 12) as page:
        page.text(MARGIN, MARGIN + 12, title, 13, bold=True)
        page.text(MARGIN, MARGIN + 44, note, 8.5, color=MUTED)
        for index, cell in enumerate(cells):
            row, column = divmod(index, columns)
            left, upper = MARGIN + column * (_SIDE + _GAP), top + row * (_SIDE + _TEXT)
            picture = _fitted(cell.image)
            height, breadth = picture.shape[:2]
            page.image(left + (_SIDE - breadth) // 2, upper + (_SIDE - height) // 2, picture)
            page.text(left, upper + _SIDE + 18, shortened(one_line(cell.title), _LETTERS), 8)
            page.text(
                left,
                upper + _SIDE + 44,
                shortened(one_line(cell.caption), _LETTERS),
                7.5,
                color=MUTED,
            )


def _fitted(image: Pixels) -> Pixels:
    """Scale an image to a longer side of `_SIDE` px."""
    height, width = image.shape[:2]
    scale = _SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    resampling = Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(size, resampling))
