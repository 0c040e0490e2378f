"""Windows of an input are those of the whole image, and each row of windows is read once."""

import numpy as np
import pytest

from pipeline.predict.sources import open_source
from rsmtdf_core.scenes.bands import BandSettings
from rsmtdf_core.scenes.rasters import Raster, open_raster
from tests.rasters import TRANSFORM, write_tiff

HEIGHT, WIDTH, SIDE = 100, 130, 48


@pytest.fixture
def path(tmp_path):
    values = np.random.default_rng(0).integers(1, 256, (3, HEIGHT, WIDTH), np.uint8)
    values[:, 10:40, 20:90] = 0
    return write_tiff(tmp_path / "a.tif", values, nodata=0)


def windows():
    for top in (0, 30, HEIGHT - SIDE):
        for left in (0, 41, WIDTH - SIDE):
            yield top, left


@pytest.mark.parametrize("indices", [(1, 2, 3), (3, 2, 1)])
def test_windows_are_parts_of_the_whole(path, indices):
    bands = BandSettings(indices=indices)
    with open_raster(path, bands) as raster:
        pixels, valid = raster.read(0, 0, HEIGHT, WIDTH)
    assert not valid.all()
    with open_source(path, bands) as (source, frame):
        assert source.size == (HEIGHT, WIDTH) == (frame.height, frame.width)
        assert frame.transform == TRANSFORM
        for top, left in windows():
            part = (slice(top, top + SIDE), slice(left, left + SIDE))
            assert np.array_equal(source.read(top, left, SIDE, SIDE), pixels[part])
            inner = source.valid(top + 5, left, SIDE - 5, SIDE)
            assert np.array_equal(inner, valid[part][5:])


def test_each_row_of_windows_is_read_once(path, monkeypatch):
    read, parts = Raster.read, []

    def counted(raster, top, left, height, width):
        parts.append((top, left, height, width))
        return read(raster, top, left, height, width)

    monkeypatch.setattr(Raster, "read", counted)
    with open_source(path, None) as (source, _):
        for top, left in windows():
            source.read(top, left, SIDE, SIDE)
    assert parts == [(top, 0, SIDE, WIDTH) for top in (0, 30, HEIGHT - SIDE)]


def test_rows_that_were_not_read_have_no_validity(path):
    with open_source(path, None) as (source, _):
        source.read(30, 0, SIDE, SIDE)
        for top, height in ((29, 5), (70, 9)):
            with pytest.raises(AssertionError, match="not read"):
                source.valid(top, 0, height, SIDE)
