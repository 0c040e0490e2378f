"""Bitmaps of single objects as run lengths and polygons."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rsmtdf_core.scenes.shapes.bitmaps import decode_runs, decode_text, outline
from rsmtdf_core.scenes.shapes.features import clean
from rsmtdf_core.scenes.shapes.mask import burn

BITMAP = np.array(
    [
        [0, 0, 0, 0, 0, 0, 1],
        [0, 0, 1, 1, 1, 0, 0],
        [0, 0, 1, 0, 1, 0, 0],
        [0, 0, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ],
    bool,
)
TEXT = ";32NO0124NN"  # of pycocotools 2.0


def runs_of(bitmap: np.ndarray) -> list[int]:
    """Runs of equal pixels column by column, the first of unset ones."""
    pixels = np.concatenate([[False], bitmap.T.ravel()])
    borders = np.flatnonzero(pixels[1:] != pixels[:-1])
    return np.diff([0, *borders, bitmap.size]).tolist()


def text_of(counts: list[int]) -> str:
    """Encode run lengths as pycocotools does."""
    text = ""
    for place, count in enumerate(counts):
        number = count - counts[place - 2] if place > 2 else count
        more = True
        while more:
            bits, number = number & 31, number >> 5
            more = number != (-1 if bits & 16 else 0)
            text += chr(48 + bits + 32 * more)
    return text


def test_a_text_of_pycocotools_is_decoded():
    assert decode_text(TEXT) == runs_of(BITMAP)
    assert text_of(runs_of(BITMAP)) == TEXT


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)), st.booleans())
def test_runs_and_polygons_restore_every_bitmap(bitmap, all_touched):
    height, width = bitmap.shape
    columns, left = decode_runs(decode_text(text_of(runs_of(bitmap))), height, width)
    shape = outline(columns, left)
    parts, _, notes = clean(np.array([shape], object), ["road"], ["a"])
    assert bool(notes) == (not bitmap.any())
    ids = np.ones(len(parts), np.uint8)
    drawn = burn(parts, ids, (0, 0, height, width), 0, all_touched=all_touched)
    assert (drawn == bitmap).all()


@given(st.lists(st.integers(0, 2**40), max_size=9))
def test_numbers_survive_their_text(counts):
    assert decode_text(text_of(counts)) == counts


@pytest.mark.parametrize("text", ["P", "1P", "\u20ac", " ", "1" + "o" * 20])
def test_damaged_texts_are_refused(text):
    with pytest.raises(ValueError, match="compressed runs"):
        decode_text(text)


@pytest.mark.parametrize("counts", [[], [34], [36], [40, -5], [2**62, 2**62]])
def test_runs_that_do_not_fill_the_image_are_refused(counts):
    with pytest.raises(ValueError, match="do not fill an image of 7 x 5 px"):
        decode_runs(counts, 5, 7)
