"""Small images are means of squares, and small maps their middle pixels, whatever the size."""

import numpy as np
import pytest

import pipeline.predict.small
from pipeline.predict.small import small_image, small_map
from tests.rasters import write_tiff


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(pipeline.predict.small, "SIDE", 20)
    monkeypatch.setattr(pipeline.predict.small, "_ROWS", 10)


def test_an_image_is_averaged_and_a_map_is_not(tmp_path):
    draws = np.random.default_rng(0)
    values = draws.integers(0, 256, (3, 34, 59), np.uint8)
    path = write_tiff(tmp_path / "a.tif", values)
    expected = values[:, :33, :57].reshape(3, 11, 3, 19, 3).mean(axis=(2, 4))
    small = small_image(path, None)
    assert small.shape == (11, 19, 3)
    assert np.abs(np.moveaxis(small, 2, 0) - expected).max() <= 0.51
    ids = draws.integers(0, 6, (1, 34, 59), np.uint8)
    colors = write_tiff(tmp_path / "map.tif", ids)
    assert np.array_equal(small_map(colors), ids[0, 1:33:3, 1:57:3])


def test_a_small_image_stays_as_it_is(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (3, 12, 20), np.uint8)
    path = write_tiff(tmp_path / "a.tif", values)
    assert np.array_equal(small_image(path, None), np.moveaxis(values, 0, 2))
    assert np.array_equal(small_map(path), values[0])
