import numpy as np
import pytest

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.bands import BandSettings
from rsmtdf_core.scenes.rasters import open_raster
from tests.rasters import CRS, TRANSFORM, halved, ramp, rasterio, write_tiff

FALSE_COLOR = BandSettings(indices=[4, 3, 2], scale=[[4000, 4255], [3000, 3255], [2000, 2255]])


def test_a_window_has_the_chosen_bands_scaled(tmp_path):
    path = write_tiff(tmp_path / "a.tif", ramp(4, 20, 30))
    with open_raster(path, FALSE_COLOR) as raster:
        pixels, valid = raster.read(5, 7, 3, 2)
        frame = raster.frame
    assert pixels.tolist() == [[[10 * y + x] * 3 for x in (7, 8)] for y in (5, 6, 7)]
    assert valid.all()
    assert (frame.width, frame.height) == (30, 20)
    assert frame.crs == CRS
    assert frame.transform == TRANSFORM


def test_more_rows_than_are_scaled_at_a_time_are_read_in_their_order(tmp_path):
    values = np.arange(300, dtype=np.uint16)[None, :, None].repeat(3, 0).repeat(4, 2)
    path = write_tiff(tmp_path / "a.tif", values)
    with open_raster(path, BandSettings(scale=[0, 299])) as raster:
        pixels, _ = raster.read(0, 0, 300, 4)
    assert pixels[:, 0, 0].tolist() == np.rint(np.arange(300) / 299 * 255).tolist()


def test_a_pixel_is_nodata_if_all_bands_are(tmp_path):
    values = np.full((3, 2, 2), 9, np.uint8)
    values[:, 0, 0] = 0
    values[0, 1, 1] = 0
    with open_raster(write_tiff(tmp_path / "a.tif", values, nodata=0)) as raster:
        pixels, valid = raster.read(0, 0, 2, 2)
    assert valid.tolist() == [[False, True], [True, True]]
    assert pixels[1, 1].tolist() == [0, 9, 9]


def test_values_that_are_not_finite_are_nodata(tmp_path):
    values = np.ones((3, 2, 2), np.float32)
    values[1, 0, 1] = np.nan
    path = write_tiff(tmp_path / "a.tif", values)
    with open_raster(path, BandSettings(scale=[0, 1])) as raster:
        pixels, valid = raster.read(0, 0, 2, 2)
    assert valid.tolist() == [[True, False], [True, True]]
    assert pixels[0, 1].tolist() == [0, 0, 0]


def test_a_transparent_pixel_has_no_data(tmp_path):
    values = np.full((4, 2, 2), 255, np.uint8)
    values[3, 0, 0] = 0
    path = write_tiff(tmp_path / "a.tif", values, photometric="rgb", alpha="yes")
    with open_raster(path) as raster:
        assert raster.read(0, 0, 2, 2)[1].tolist() == [[False, True], [True, True]]


def test_one_band_is_shown_as_gray(tmp_path):
    with open_raster(write_tiff(tmp_path / "a.tif", ramp(1, 2, 2, np.uint8))) as raster:
        pixels, _ = raster.read(0, 0, 2, 2)
    assert (pixels == pixels[..., :1]).all()


def test_sixteen_bits_without_a_scale_are_refused_with_a_fitting_scale(tmp_path):
    values = np.full((3, 50, 50), 65535, np.uint16)
    values[:, :, 10:] = np.linspace(100, 900, 40)
    path = write_tiff(tmp_path / "a.tif", values, nodata=65535)
    with pytest.raises(DataError, match="8 bits, found uint16") as caught, open_raster(path):
        pass
    assert "scale: [[100, 900], [100, 900], [100, 900]]" in caught.value.remedy
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    ("bands", "choice", "message"),
    [
        (3, BandSettings(indices=[4, 3, 2]), "expected band 4, found 3 bands"),
        (2, None, "expected one band, or at least three, found 2"),
    ],
)
def test_a_wrong_count_of_bands_is_refused(tmp_path, bands, choice, message):
    path = write_tiff(tmp_path / "a.tif", ramp(bands, 4, 4, np.uint8))
    with pytest.raises(DataError, match=message) as caught, open_raster(path, choice):
        pass
    assert caught.value.where == str(path)


def test_complex_numbers_are_no_brightness(tmp_path):
    path = write_tiff(tmp_path / "a.tif", np.ones((1, 4, 4), np.complex64))
    with pytest.raises(DataError, match="complex"), open_raster(path):
        pass


def test_a_palette_is_shown_in_its_colors(tmp_path):
    ids = np.arange(16, dtype=np.uint8).reshape(1, 4, 4) % 3
    path = write_tiff(tmp_path / "a.tif", ids, photometric="palette")
    colors = np.array([[10, 20, 30], [200, 100, 0], [7, 8, 9]], np.uint8)
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, dict(enumerate(map(tuple, colors.tolist()))))
    with open_raster(path) as raster:
        assert np.array_equal(raster.read_all()[0], colors[ids[0]])


def test_a_truncated_file_is_refused_when_read(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (3, 300, 300), np.uint8)
    path = halved(write_tiff(tmp_path / "a.tif", noise))
    with pytest.raises(DataError, match="cannot be read") as caught, open_raster(path) as raster:
        raster.read(0, 0, 300, 300)
    assert caught.value.where == str(path)


def test_missing_files_and_other_files_are_refused(tmp_path):
    with pytest.raises(MissingFileError), open_raster(tmp_path / "a.tif"):
        pass
    (tmp_path / "a.tif").write_text("no raster")
    with pytest.raises(DataError, match="cannot be read"), open_raster(tmp_path / "a.tif"):
        pass


def test_a_window_beyond_the_raster_is_refused(tmp_path):
    path = write_tiff(tmp_path / "a.tif", ramp(3, 4, 4, np.uint8))
    with open_raster(path) as raster, pytest.raises(DataError, match="exceeds"):
        raster.read(2, 0, 3, 4)
