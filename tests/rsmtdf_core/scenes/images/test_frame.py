"""Bounds of images under any transform, and images that certainly show different areas."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio import Affine
from rasterio.crs import CRS

from rsmtdf_core.scenes.images.frame import Frame, apart

UTM = CRS.from_epsg(32640)
WGS84 = CRS.from_epsg(4326)
LOCAL = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')
NUMBERS = st.floats(-100, 100)


def at(x, y, side=100, crs=UTM):
    """A frame of `side` m whose upper left corner is at x, y."""
    return Frame(10, 10, crs, Affine(side / 10, 0, x, 0, -side / 10, y))


@given(st.tuples(*[NUMBERS] * 6), st.integers(1, 50), st.integers(1, 50))
def test_bounds_hold_every_corner_and_touch_the_outermost(numbers, width, height):
    transform = Affine(*numbers)
    frame = Frame(width, height, UTM, transform)
    if transform.is_identity:
        assert frame.bounds is None
        return
    corners = [transform @ (x, y) for x in (0, width) for y in (0, height)]
    west, south, east, north = frame.bounds
    assert (west, east) == pytest.approx((min(c[0] for c in corners), max(c[0] for c in corners)))
    assert (south, north) == pytest.approx((min(c[1] for c in corners), max(c[1] for c in corners)))


def test_without_a_crs_or_a_transform_there_are_no_bounds():
    assert Frame(10, 10, None, Affine(1, 0, 5, 0, -1, 5)).bounds is None
    assert Frame(10, 10, UTM, Affine.identity()).bounds is None
    assert Frame(10, 10, UTM).bounds is None


@pytest.mark.parametrize(
    ("facts", "georeferenced"),
    [
        ({}, False),
        ({"transform": Affine.identity()}, False),
        ({"transform": Affine(1, 0, 5, 0, -1, 5)}, True),
        ({"crs": UTM}, True),
        ({"gcps": [object()]}, True),
        ({"rpcs": object()}, True),
    ],
)
def test_anything_that_places_an_image_georeferences_it(facts, georeferenced):
    assert Frame(10, 10, **facts).georeferenced is georeferenced


def test_bounds_are_transformed_to_another_crs():
    frame = at(400_000, 2_800_000)
    west, south, east, north = frame.bounds_in(WGS84)
    assert 55 < west < east < 57  # zone 40 has its central meridian at 57 degrees east
    assert 25 < south < north < 26
    assert frame.bounds_in(UTM) == pytest.approx(frame.bounds)
    assert frame.bounds_in(None) is None
    assert frame.bounds_in(LOCAL) is None
    assert Frame(10, 10).bounds_in(UTM) is None


def test_only_images_whose_places_are_known_and_do_not_overlap_are_apart():
    here = at(400_000, 2_800_000)
    assert apart(here, at(400_100, 2_800_000)), "they share an edge alone"
    assert apart(here, at(400_000, 2_800_100))
    assert not apart(here, at(400_099, 2_800_000))
    assert not apart(here, here)
    assert not apart(here, Frame(10, 10))
    assert not apart(Frame(10, 10), here)
    assert not apart(here, at(400_000, 2_800_000, crs=LOCAL)), "no way from one CRS to the other"


def test_places_in_different_crs_are_compared():
    here = at(400_000, 2_800_000)
    west, south, east, north = here.bounds_in(WGS84)
    degrees = Affine((east - west) / 10, 0, west, 0, -(north - south) / 10, north)
    assert not apart(here, Frame(10, 10, WGS84, degrees))
    assert apart(here, Frame(10, 10, WGS84, Affine(0.001, 0, 10, 0, -0.001, 50)))
