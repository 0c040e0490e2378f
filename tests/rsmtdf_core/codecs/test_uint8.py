"""Pixels come back as they were."""

import numpy as np
import pytest

from rsmtdf_core.codecs import declare_codec, make_codec
from tests.rsmtdf_core.codecs.round_trip import restored

SHAPE = (3, 5, 7)


def test_pixels_come_back_as_bytes() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)
    decoded = restored("uint8", pixels)
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, pixels)


def test_pixels_of_any_layout_are_stored_row_by_row() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)
    codec = make_codec(declare_codec("uint8"), SHAPE, {})
    assert codec.encode(np.asfortranarray(pixels)).tobytes() == pixels.tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_tokens_are_no_pixels(dtype: type) -> None:
    with pytest.raises(AssertionError, match="uint8"):
        make_codec(declare_codec("uint8"), SHAPE, {}).encode(np.zeros(SHAPE, dtype))
