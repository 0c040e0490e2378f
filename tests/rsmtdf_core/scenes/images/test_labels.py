"""Masks are read by value, whatever their type, bits and photometric interpretation."""

import numpy as np
import pytest
from PIL import Image

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.images import open_image
from rsmtdf_core.scenes.images.labels import holds_numbers, read_colors, read_numbers
from tests.rasters import rasterio, write_tiff

from .test_matrix import write_png

IDS = np.random.default_rng(0).integers(0, 2, (12, 17))


def numbers(path):
    with open_image(path) as image:
        assert holds_numbers(image)
        return read_numbers(image)


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int8, np.uint16, np.int16, np.int32, np.int64, np.uint64, np.float32]
)
@pytest.mark.parametrize("profile", [{}, {"photometric": "MINISWHITE"}, {"compress": "lerc"}])
def test_tiffs_of_any_type_hold_the_numbers_that_were_written(tmp_path, dtype, profile):
    if profile.get("compress") and dtype in (np.int8, np.int64, np.uint64):
        pytest.skip("LERC knows no such numbers")
    values, valid = numbers(write_tiff(tmp_path / "a.tif", IDS[None].astype(dtype), **profile))
    assert valid is None
    assert values.dtype.kind in "iu"
    assert np.array_equal(values, IDS)


@pytest.mark.parametrize("photometric", ["MINISBLACK", "MINISWHITE"])
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_packed_samples_are_not_spread(tmp_path, bits, photometric):
    ids = np.random.default_rng(1).integers(0, 2**bits, IDS.shape)
    path = write_tiff(
        tmp_path / "a.tif", ids[None].astype(np.uint8), nbits=bits, photometric=photometric
    )
    assert np.array_equal(numbers(path)[0], ids)
    write_png(tmp_path / "a.png", ids[..., None], bits, 0)
    assert np.array_equal(numbers(tmp_path / "a.png")[0], ids)


def test_a_palette_has_indices_and_colors(tmp_path):
    colors = np.array([[9, 8, 7], [200, 100, 0]], np.uint8)
    path = write_tiff(tmp_path / "a.tif", IDS[None].astype(np.uint8), photometric="palette")
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, dict(enumerate(map(tuple, colors.tolist()))))
    picture = Image.fromarray(IDS.astype(np.uint8))
    picture.putpalette(colors.tobytes())
    for name in ("a.png", "a.gif"):
        picture.save(tmp_path / name)
    for name in ("a.tif", "a.png", "a.gif"):
        with open_image(tmp_path / name) as image:
            assert np.array_equal(read_numbers(image)[0], IDS)
            assert np.array_equal(read_colors(image)[0], colors[IDS])


def test_nodata_and_internal_masks_have_no_class(tmp_path):
    _, valid = numbers(write_tiff(tmp_path / "a.tif", IDS[None].astype(np.uint8), nodata=1))
    assert np.array_equal(valid, IDS == 0)
    path = write_tiff(tmp_path / "b.tif", np.zeros((1, 12, 17), np.uint8))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        file.write_mask(IDS > 0)
    assert np.array_equal(numbers(path)[1], IDS > 0)


def test_transparency_of_a_picture_does_not(tmp_path):
    picture = Image.fromarray(IDS.astype(np.uint8))
    picture.putpalette([0, 0, 0, 255, 255, 255])
    picture.save(tmp_path / "a.png", transparency=0)
    values, valid = numbers(tmp_path / "a.png")
    assert valid is None
    assert np.array_equal(values, IDS)


def test_nan_has_no_class(tmp_path):
    floats = np.where(IDS > 0, np.nan, 3).astype(np.float32)
    values, valid = numbers(write_tiff(tmp_path / "a.tif", floats[None]))
    assert np.array_equal(valid, IDS == 0)
    assert (values[valid] == 3).all()


@pytest.mark.parametrize("odd", [0.5, 1e30])
def test_numbers_that_are_not_whole_are_refused(tmp_path, odd):
    path = write_tiff(tmp_path / "a.tif", np.where(IDS > 0, odd, 0).astype(np.float32)[None])
    with pytest.raises(DataError, match="numbers that are not whole") as caught:
        numbers(path)
    assert caught.value.where == str(path)


def test_grays_of_few_bits_are_spread_as_colors(tmp_path):
    ids = np.arange(4).reshape(2, 2)
    write_png(tmp_path / "a.png", ids[..., None], 2, 0)
    with open_image(tmp_path / "a.png") as image:
        assert read_colors(image)[0][..., 0].tolist() == [[0, 85], [170, 255]]
