"""For generated TIFF profiles, an image file agrees with rasterio, and parts equal those of the whole."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rsmtdf_core.scenes.bands import BandSettings, scaled
from rsmtdf_core.scenes.images import Orientation, open_image
from rsmtdf_core.scenes.rasters import open_raster
from tests.rasters import rasterio, write_tiff

TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]


@st.composite
def profiles(draw):
    """Values [C, H, W] of small numbers and the options that they are written with."""
    dtype = draw(st.sampled_from(TYPES))
    bands = draw(st.integers(1, 6))
    height, width = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    values = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 5, (bands, height, width))
    options = {
        "compress": draw(st.sampled_from([None, "deflate", "lzw", "packbits", "zstd"])),
        "interleave": draw(st.sampled_from(["pixel", "band"])),
        "nodata": draw(st.sampled_from([None, 0, 3])),
        "tiled": draw(st.booleans()),
        "bigtiff": draw(st.sampled_from(["yes", "no"])),
        "endianness": draw(st.sampled_from(["little", "big"])),
        "alpha": draw(st.sampled_from(["no", "unspecified"])),
    }
    return values.astype(dtype), options


@st.composite
def parts(draw, height, width):
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    return top, left, draw(st.integers(1, height - top)), draw(st.integers(1, width - left))


@settings(deadline=None, max_examples=40)
@given(data=st.data(), profile=profiles())
def test_a_tiff_has_the_values_and_validity_of_rasterio(tmp_path_factory, data, profile):
    values, options = profile
    path = write_tiff(tmp_path_factory.mktemp("tiff") / "a.tif", values, **options)
    count, height, width = values.shape
    bands = tuple(data.draw(st.lists(st.integers(1, count), min_size=3, max_size=4)))
    top, left, rows, columns = part = data.draw(parts(height, width))
    with rasterio.open(path) as dataset:
        window = ((top, top + rows), (left, left + columns))
        expected = dataset.read(list(bands), window=window)
        masks = dataset.read_masks(list(bands), window=window) > 0
        metadata = dataset.crs, dataset.transform, dataset.nodatavals, dataset.dtypes
    with open_image(path) as image:
        assert image.size == (width, height)
        assert image.count == count
        dtypes = tuple(dtype.name for dtype in image.dtypes)
        assert (image.frame.crs, image.frame.transform, image.nodata, dtypes) == metadata
        read = image.read(bands, part)
        assert read.dtype == expected.dtype
        assert np.array_equal(read, np.moveaxis(expected, 0, 2))
        valid = image.valid(bands, part)
        assert (valid is None) == (options["nodata"] is None)
        assert valid is None or np.array_equal(valid, np.moveaxis(masks, 0, 2))
    chosen = BandSettings(indices=bands, scale=[0, 4])
    with open_raster(path, chosen) as raster:
        pixels, has_data = raster.read(*part)
        whole, everywhere = raster.read_all()
    assert np.array_equal(has_data, masks.any(axis=0))
    assert np.array_equal(pixels, scaled(expected, chosen, has_data))
    block = slice(top, top + rows), slice(left, left + columns)
    assert np.array_equal(whole[block], pixels)
    assert np.array_equal(everywhere[block], has_data)


@given(data=st.data(), tag=st.integers(1, 8), width=st.integers(1, 9), height=st.integers(1, 9))
def test_a_part_of_a_turned_image_is_that_part_of_the_shown_one(data, tag, width, height):
    orientation = Orientation(tag)
    stored = np.arange(width * height).reshape(height, width)
    shown = orientation.apply(stored)
    size = orientation.shown_size((width, height))
    assert shown.shape == size[::-1]
    part = data.draw(parts(*shown.shape))
    top, left, rows, columns = orientation.stored_part(part, size)
    cut = stored[top : top + rows, left : left + columns]
    expected = shown[part[0] : part[0] + part[2], part[1] : part[1] + part[3]]
    assert np.array_equal(orientation.apply(cut), expected)
