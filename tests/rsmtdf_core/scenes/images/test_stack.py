"""Files of one area are the bands of one image, on the grid of the first."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.bands import BandSettings
from rsmtdf_core.scenes.images import open_image
from rsmtdf_core.scenes.images.gdal_decoder import GdalDecoder
from rsmtdf_core.scenes.images.source import Stack
from rsmtdf_core.scenes.rasters import open_raster
from tests.rasters import TRANSFORM, ramp, rasterio, write_tiff

COARSE = TRANSFORM @ rasterio.Affine.scale(2)
HEIGHT, WIDTH = 60, 80


def stack_of(folder, **files) -> Stack:
    paths = [
        write_tiff(folder / f"{name}.tif", values, **profile)
        for name, (values, profile) in files.items()
    ]
    return Stack(tuple(paths))


def band(value: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return (ramp(1, height, width) + value).astype(np.uint16)


def test_bands_follow_each_other_in_the_order_of_the_files(tmp_path):
    values = [band(0), np.concatenate([band(5), band(6)]), band(7)]
    stack = stack_of(tmp_path, b=(values[0], {}), c=(values[1], {}), a=(values[2], {}))
    with open_image(stack) as image:
        assert (image.count, image.size, image.by_parts) == (4, (WIDTH, HEIGHT), True)
        assert np.array_equal(image.read((1, 2, 3, 4)), np.moveaxis(np.concatenate(values), 0, 2))
        chosen = image.read((4, 2, 2), (10, 20, 30, 40))
        whole = np.concatenate([values[2], values[1][:1], values[1][:1]])
        assert np.array_equal(chosen, np.moveaxis(whole, 0, 2)[10:40, 20:60])


def bilinear(coarse: np.ndarray) -> np.ndarray:
    """Bilinear interpolation to twice the size, of numpy alone; the border is continued."""
    for axis in (0, 1):
        size = coarse.shape[axis]
        places = (np.arange(2 * size) + 0.5) / 2 - 0.5
        low = np.floor(places).astype(int)
        share = (places - low).reshape(-1, 1) if axis == 0 else places - low
        first, second = (np.take(coarse, np.clip(low + step, 0, size - 1), axis) for step in (0, 1))
        coarse = first * (1 - share) + second * share
    return coarse


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 999), part=st.tuples(*[st.integers(0, 30)] * 2, *[st.integers(1, 30)] * 2)
)
def test_a_coarser_file_is_interpolated_the_same_in_every_window(tmp_path_factory, seed, part):
    folder = tmp_path_factory.mktemp("stack")
    coarse = np.random.default_rng(seed).random((1, HEIGHT // 2, WIDTH // 2), np.float32)
    stack = stack_of(folder, a=(band(0), {}), b=(coarse, {"transform": COARSE}))
    expected = bilinear(coarse[0].astype(np.float64))
    top, left, height, width = part
    with open_image(stack) as image:
        assert np.allclose(image.read((2,))[..., 0], expected, atol=1e-5)
        window = image.read((2,), part)[..., 0]
    assert np.allclose(window, expected[top : top + height, left : left + width], atol=1e-5)


def test_the_first_file_decides_the_grid(tmp_path):
    coarse = band(0, HEIGHT // 2, WIDTH // 2)
    stack = stack_of(tmp_path, a=(coarse, {"transform": COARSE}), b=(band(0), {}))
    with open_image(stack) as image:
        assert (image.size, image.frame.transform) == ((WIDTH // 2, HEIGHT // 2), COARSE)
        assert np.array_equal(image.read((1,))[..., 0], coarse[0])


@pytest.mark.parametrize("kind", ["value", "mask", "float mask", "alpha", "nan"])
def test_a_pixel_is_missing_where_any_file_misses(tmp_path, kind):
    fine, coarse = band(0), band(0, HEIGHT // 2, WIDTH // 2)
    gap = np.zeros(coarse.shape[1:], bool)
    gap[10:13, 5:9] = True
    profile = {"transform": COARSE}
    fine[0, :4, :7] = 0
    if kind == "value":
        coarse[0, gap], profile["nodata"] = 9, 9
    if kind == "alpha":
        coarse = np.concatenate([coarse, ~gap[None] * np.uint16(65535)])
        profile["alpha"] = "yes"
    if "float" in kind or kind == "nan":
        coarse = coarse.astype(np.float32)
    if kind == "nan":
        coarse[0, gap] = np.nan
    stack = stack_of(tmp_path, a=(fine, {"nodata": 0}), b=(coarse, profile))
    if "mask" in kind:
        with rasterio.open(stack.files[1], "r+") as dataset:
            dataset.write_mask(~gap)
    expected = np.repeat(np.repeat(gap, 2, 0), 2, 1)
    expected[:4, :7] = True
    scale = ((0.0, 4000.0),) * 3
    with open_raster(stack, BandSettings(indices=(1, 2, 2), scale=scale)) as raster:
        assert raster.image.count == 2
        pixels, valid = raster.read_all()
        part = raster.read(15, 5, 20, 30)[1]
    assert (pixels[~valid] == 0).all()
    assert np.array_equal(part, valid[15:35, 5:35])
    if kind == "nan":  # a mean with a pixel that is not finite is not finite
        assert (expected <= ~valid).all()
        assert (~valid).sum() < expected.sum() + 4 * 12
    else:
        assert np.array_equal(~valid, expected)
    with open_raster(stack, BandSettings(indices=(1, 1, 1), scale=scale)) as raster:
        assert (~raster.read_all()[1]).sum() == 28  # the second file is not read


def test_means_leave_pixels_without_data_out(tmp_path):
    coarse = np.full((1, HEIGHT // 2, WIDTH // 2), 1000, np.uint16)
    coarse[0, 10:13, 5:9] = 0
    stack = stack_of(tmp_path, a=(band(0), {}), b=(coarse, {"transform": COARSE, "nodata": 0}))
    with open_image(stack) as image:
        valid = image.has_data((2,))
        assert (image.read((2,))[..., 0][valid] == 1000).all()


MOVED = TRANSFORM @ rasterio.Affine.translation(1, 0)


@pytest.mark.parametrize(
    ("profile", "size"),
    [
        ({"crs": "EPSG:32641"}, (HEIGHT, WIDTH)),
        ({"crs": None}, (HEIGHT, WIDTH)),
        ({"transform": MOVED}, (HEIGHT, WIDTH)),
        ({"transform": COARSE}, (HEIGHT, WIDTH)),
        ({}, (HEIGHT, WIDTH + 1)),
        ({"transform": COARSE}, (HEIGHT // 2 + 1, WIDTH // 2)),
        ({"transform": TRANSFORM @ rasterio.Affine.rotation(5)}, (HEIGHT, WIDTH)),
    ],
)
def test_another_reference_system_or_extent_is_an_error_that_names_both_files(
    tmp_path, profile, size
):
    stack = stack_of(tmp_path, first=(band(0), {}), other=(band(0, *size), profile))
    with (
        pytest.raises(DataError, match="same reference system and extent") as caught,
        open_image(stack),
    ):
        pass
    assert str(tmp_path / "first.tif") in caught.value.what
    assert caught.value.where == str(tmp_path / "other.tif")
    assert "gdalwarp -t_srs EPSG:32640" in caught.value.remedy


def test_a_border_that_differs_by_less_than_half_a_pixel_is_no_other_extent(tmp_path):
    near = {"transform": TRANSFORM @ rasterio.Affine.translation(0.3, -0.3)}
    with open_image(stack_of(tmp_path, a=(band(0), {}), b=(band(3), near))) as image:
        assert np.array_equal(image.read((2,))[..., 0], band(3)[0])


def test_pictures_of_one_size_are_stacked_and_others_are_refused(tmp_path):
    for name, size in {"a": (8, 6), "b": (8, 6), "c": (4, 3)}.items():
        Image.new("L", size, ord(name)).save(tmp_path / f"{name}.png")
    a, b, c = (tmp_path / f"{name}.png" for name in "abc")
    with open_image(Stack((a, b, a))) as image:
        assert image.eight_bits
        assert image.read((1, 2, 3))[0, 0].tolist() == [97, 98, 97]
    with (
        pytest.raises(DataError, match=r"a\.png.* without a georeference") as caught,
        open_image(Stack((a, c))),
    ):
        pass
    assert "georeference" in caught.value.remedy


def test_a_palette_is_not_interpolated(tmp_path):
    stack = stack_of(
        tmp_path,
        a=(band(0), {}),
        b=(np.ones((1, HEIGHT // 2, WIDTH // 2), np.uint8), {"transform": COARSE}),
    )
    with rasterio.open(stack.files[1], "r+") as dataset:
        dataset.write_colormap(1, {1: (255, 0, 0, 255)})
    with pytest.raises(DataError, match="only rasters of values"), open_image(stack):
        pass


def test_no_more_is_read_of_each_file_than_the_window(tmp_path, monkeypatch):
    stack = stack_of(tmp_path, a=(band(0), {}), b=(band(1), {}), c=(band(2), {}))
    parts = []

    def recording(decoder, bands, part):
        parts.append((decoder.path.name, part))
        return original(decoder, bands, part)

    original = GdalDecoder.read
    monkeypatch.setattr(GdalDecoder, "read", recording)
    with open_image(stack) as image:
        image.read((1, 3), (4, 5, 6, 7))
    assert parts == [("a.tif", (4, 5, 6, 7)), ("c.tif", (4, 5, 6, 7))]
