"""Bands and ranges that are proposed for a folder of rasters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.bands import BandSettings
from rsmtdf_core.scenes.guessing.bands import guess_bands, undeclared_nodata
from tests.rasters import ramp, rasterio, write_tiff


def test_the_first_three_bands_are_shown_between_the_middle_values_of_all_files(tmp_path):
    values = np.arange(4 * 101 * 20, dtype=np.uint16).reshape(4, 20, 101)
    paths = [write_tiff(tmp_path / f"{at}.tif", values + np.uint16(1000 * at)) for at in range(3)]
    choice = guess_bands(paths).bands
    assert choice.indices == (1, 2, 3)
    pooled = np.concatenate([values[1].ravel() + 1000 * at for at in range(3)])
    assert choice.scale is not None
    assert choice.scale[1] == pytest.approx(np.percentile(pooled, [2, 98]))


def test_bands_that_are_called_red_green_and_blue_are_found(tmp_path):
    path = write_tiff(tmp_path / "a.tif", ramp(4, 20, 30))
    with rasterio.open(path, "r+") as dataset:
        kinds = rasterio.enums.ColorInterp
        dataset.colorinterp = [kinds.blue, kinds.green, kinds.red, kinds.undefined]
    assert guess_bands([path]).bands.indices == (3, 2, 1)


@pytest.mark.parametrize(("bands", "indices"), [(1, (1, 1, 1)), (2, (1, 2, 2)), (3, (1, 2, 3))])
def test_fewer_bands_are_shown_more_than_once(tmp_path, bands, indices):
    assert guess_bands([write_tiff(tmp_path / "a.tif", ramp(bands, 9, 9))]).bands.indices == indices


def test_values_without_data_do_not_widen_the_range(tmp_path):
    values = np.full((3, 40, 40), 500, np.uint16)
    values[:, :20] = 0
    values[:, 30:] = 600
    (low, high), *_ = guess_bands([write_tiff(tmp_path / "a.tif", values, nodata=0)]).bands.scale
    assert (low, high) == (500, 600)


def test_eight_bits_need_no_range(tmp_path):
    assert (
        guess_bands([write_tiff(tmp_path / "a.tif", ramp(4, 9, 9, np.uint8))]).bands.scale is None
    )


def test_the_users_choice_is_kept(tmp_path):
    path = write_tiff(tmp_path / "a.tif", ramp(4, 20, 20))
    chosen = guess_bands([path], BandSettings(indices=(4, 3, 2))).bands
    assert chosen.indices == (4, 3, 2)
    assert chosen.scale[0][0] > 4000
    ranged = guess_bands([path], BandSettings.model_validate({"scale": [0, 3000]})).bands
    assert (ranged.indices, ranged.scale[0]) == ((1, 2, 3), (0, 3000))


def test_rasters_that_differ_are_named(tmp_path):
    deep = write_tiff(tmp_path / "a.tif", ramp(4, 9, 9))
    few = write_tiff(tmp_path / "c.tif", ramp(2, 9, 9))
    with pytest.raises(DataError, match="expected band 3, found 2 bands") as caught:
        guess_bands([deep, few])
    assert caught.value.where == str(few)


@pytest.mark.parametrize("fill", [-9999, -32768, 30000])
def test_a_fill_value_that_is_not_declared_is_named_and_left_out_of_the_range(tmp_path, fill):
    values = ramp(3, 40, 40, np.int16)
    values[0, :, :8] = fill
    paths = [write_tiff(tmp_path / f"{at}.tif", values) for at in range(2)]
    guess = guess_bands(paths)
    assert guess.undeclared == (fill,)
    assert guess.bands.scale is not None
    assert guess.bands.scale[0] == pytest.approx((1010, 1420), abs=20)
    declared = write_tiff(tmp_path / "d.tif", values, nodata=fill)
    assert guess_bands([declared]).undeclared == ()
    assert guess_bands([declared, declared]).bands.scale == guess.bands.scale


@given(
    st.lists(st.integers(0, 4000), min_size=5, max_size=200),
    st.sampled_from([np.int16, np.uint16, np.float32]),
)
def test_values_without_a_far_end_are_all_data(values, dtype):
    spread = np.array([*values, *np.linspace(min(values), max(values), 50)]).astype(dtype)
    assert undeclared_nodata(spread) is None
