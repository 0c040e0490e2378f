"""Stored pixels are turned as viewers, such as Pillow, turn them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from rsmtdf_core.scenes.images.orientation import TAG, Orientation

TAGS = range(1, 9)


@pytest.mark.parametrize("tag", TAGS)
def test_pixels_are_turned_as_pillow_turns_them(tag):
    stored = np.arange(3 * 5 * 3, dtype=np.uint8).reshape(3, 5, 3)
    picture = Image.fromarray(stored)
    picture.getexif()[TAG] = tag
    orientation = Orientation.of(tag)
    shown = orientation.apply(stored)
    assert np.array_equal(shown, np.asarray(ImageOps.exif_transpose(picture)))
    assert orientation.shown_size((5, 3)) == (shown.shape[1], shown.shape[0])
    assert np.shares_memory(shown, stored)


@given(st.sampled_from(TAGS), st.integers(1, 6), st.integers(1, 6), st.data())
def test_a_stored_part_turned_is_that_part_of_the_shown_image(tag, rows, columns, data):
    stored = np.arange(rows * columns).reshape(rows, columns)
    orientation = Orientation(tag)
    shown = orientation.apply(stored)
    top = data.draw(st.integers(0, shown.shape[0] - 1))
    left = data.draw(st.integers(0, shown.shape[1] - 1))
    height = data.draw(st.integers(1, shown.shape[0] - top))
    width = data.draw(st.integers(1, shown.shape[1] - left))
    part = orientation.stored_part((top, left, height, width), (shown.shape[1], shown.shape[0]))
    assert min(part[:2]) >= 0
    cut = stored[part[0] : part[0] + part[2], part[1] : part[1] + part[3]]
    assert np.array_equal(orientation.apply(cut), shown[top : top + height, left : left + width])


@pytest.mark.parametrize("value", [0, 9, -1, None, "6", 3.0, b"\x06"])
def test_values_outside_the_standard_are_the_identity(value):
    assert Orientation.of(value) == Orientation(1) == Orientation()
