import numpy as np
import pytest

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.scenes.bands import BandSettings, scaled
from rsmtdf_core.validation import validate

VALID = np.ones((1, 5), bool)


def test_values_are_scaled_linearly_rounded_and_clipped():
    values = np.array([[[100, 0, 200, 300, 150]]] * 3, np.int32)
    bands = BandSettings(scale=[100, 200])
    assert scaled(values, bands, VALID)[0, :, 0].tolist() == [0, 0, 255, 255, 128]


def test_each_band_may_have_a_separate_range():
    values = np.full((3, 1, 5), 50, np.uint16)
    bands = BandSettings(scale=[[0, 100], [0, 50], [50, 90]])
    assert scaled(values, bands, VALID)[0, 0].tolist() == [128, 255, 0]


def test_more_than_three_bands_are_seen_in_the_order_of_the_choice():
    values = np.arange(5, dtype=np.uint16).reshape(5, 1, 1) * 10
    bands = BandSettings(indices=[5, 4, 3, 2, 1], scale=[0, 255])
    assert bands.scale == ((0, 255),) * 5
    assert scaled(values, bands, np.ones((1, 1), bool))[0, 0].tolist() == [0, 10, 20, 30, 40]


def test_eight_bits_stay_as_they_are_and_nodata_is_black():
    values = np.arange(15, dtype=np.uint8).reshape(3, 1, 5)
    valid = np.array([[True, True, False, True, True]])
    pixels = scaled(values, BandSettings(), valid)
    assert pixels[0, 1].tolist() == [1, 6, 11]
    assert pixels[0, 2].tolist() == [0, 0, 0]


def test_nan_becomes_black_without_a_warning():
    values = np.array([[[np.nan, np.inf, 5, 5, 5]]] * 3, np.float32)
    valid = np.isfinite(values[0])
    assert scaled(values, BandSettings(scale=[0, 5]), valid)[0, :, 0].tolist() == [
        0,
        0,
        255,
        255,
        255,
    ]


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"indices": [0, 1, 2]}, "indices"),
        ({"indices": [1, 2]}, "indices"),
        ({"scale": [5, 5]}, "low to high"),
        ({"scale": [[0, 1], [0, 1]]}, "2 pairs for 3 bands"),
        ({"indices": [1, 2, 3, 4], "scale": [[0, 1]] * 3}, "3 pairs for 4 bands"),
        ({"indices": 4, "scale": [0, 1]}, "indices"),
        ({"scale": [0, 1, 2]}, "scale"),
        ({"index": [1, 2, 3]}, "did you mean 'indices'"),
    ],
)
def test_invalid_choices_are_refused_by_key(wrong, key):
    with pytest.raises(ConfigError) as caught:
        validate(BandSettings, wrong, "manifest")
    assert key in caught.value.what
