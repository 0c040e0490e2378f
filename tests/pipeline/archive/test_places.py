"""Boxes are where the renderer takes a view's pixels from, and polygons where the georeference puts them."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.transform import Affine

from pipeline.archive.places import in_image, polygon, view_box, write_features
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.views.known import SceneKey
from rsmtdf_core.views.render import render_mask
from rsmtdf_core.views.view import Box, Geometry, View

CROP = 16


@given(st.integers(4, 60), st.integers(4, 60), st.floats(0.4, 2.5), st.booleans(), st.data())
def test_a_box_holds_the_pixels_that_a_view_shows(width, height, scale, flip, data):
    size = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (data.draw(st.integers(0, max(0, side - CROP))) for side in size)
    geometry = Geometry(*size, left, top, flip)
    box = view_box(
        View(0, 0, 0, True, geometry, None, -1, None), SceneKey("s", "", width, height, None), CROP
    )
    assert box.left >= 0
    assert box.top >= 0
    assert box.left + box.width <= width
    assert box.top + box.height <= height
    # Each pixel of a mask names its column, and then its row.
    columns = np.tile(np.arange(width, dtype=np.uint8), (height, 1))
    rows = np.tile(np.arange(height, dtype=np.uint8), (width, 1)).T
    for numbers, start, length in ((columns, box.left, box.width), (rows, box.top, box.height)):
        shown = render_mask(np.ascontiguousarray(numbers), geometry, CROP, 255)
        seen = shown[shown != 255]
        assert start <= seen.min()
        assert seen.max() < start + length
        # Rounded outward by less than a pixel of the resized scene.
        slack = 1 + length / CROP + 1 / scale
        assert seen.min() - start <= slack
        assert start + length - 1 - seen.max() <= slack


def test_a_window_moves_its_boxes():
    box = Box(3, 4, 5, 6)
    assert in_image(box, SceneKey("s", "", 50, 50, (100, 200, 50, 50))) == Box(103, 204, 5, 6)
    assert in_image(box, SceneKey("s", "", 50, 50, None)) == box


def test_a_box_becomes_a_polygon_in_longitude_and_latitude(tmp_path):
    transform = Affine(0.01, 0, 55.0, 0, -0.01, 25.0)
    frame = Frame(100, 100, CRS.from_epsg(4326), transform)
    shape = polygon(Box(10, 20, 30, 40), frame)
    [ring] = shape["coordinates"]
    assert np.allclose(ring, [(55.1, 24.8), (55.1, 24.4), (55.4, 24.4), (55.4, 24.8), (55.1, 24.8)])
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring)) / 2
    assert area > 0, "counterclockwise"
    write_features(tmp_path / "a.geojson", [(shape, {"rank": 1})])
    [feature] = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert feature["properties"] == {"rank": 1}


@pytest.mark.parametrize("crs", [None, "local"])
def test_without_a_place_on_earth_there_is_no_polygon(crs):
    local = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]') if crs else None
    frame = Frame(100, 100, local, Affine(1, 0, 5, 0, -1, 5))
    assert polygon(Box(0, 0, 1, 1), frame) is None
