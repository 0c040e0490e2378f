"""Sizes on the ground agree with the georeference."""

import pytest

from rsmtdf_core.maps.ground import equal_area_crs, pixel_area, pixel_size
from rsmtdf_core.scenes.images.frame import Frame
from tests.rasters import CRS, TRANSFORM, rasterio

FOOT = "EPSG:2263"  # New York, in US feet


def frame(crs, transform, width=100, height=50):
    return Frame(width, height, rasterio.crs.CRS.from_user_input(crs), transform)


def test_a_pixel_has_the_size_of_its_crs_in_meters():
    assert pixel_size(frame(CRS, TRANSFORM)) == 0.5
    feet = frame(FOOT, rasterio.Affine(2, 0, 980_000, 0, -2, 200_000))
    assert pixel_size(feet) == pytest.approx(2 * 1200 / 3937)
    assert pixel_size(Frame(10, 10)) is None


def test_a_pixel_in_degrees_has_its_size_on_the_ground():
    # At 60 degrees north a degree of longitude is half as long as at the equator.
    north = frame("EPSG:4326", rasterio.Affine(1e-4, 0, 10, 0, -1e-5, 60))
    assert pixel_size(north) == pytest.approx(1e-4 * 111_320 / 2, rel=0.01)


def test_areas_are_those_of_the_ellipsoid():
    from rasterio.warp import transform_bounds

    mercator = frame("EPSG:3857", rasterio.Affine(1, 0, 1_000_000, 0, -1, 8_400_000))  # 60 N
    left, bottom, right, top = transform_bounds(
        "EPSG:3857", equal_area_crs(mercator), *mercator.bounds
    )
    # Web Mercator stretches by 1 / cos(latitude), twice in area.
    assert (right - left) * (top - bottom) == pytest.approx(100 * 50 / 4, rel=0.02)
    assert pixel_area(mercator) == pytest.approx(1 / 4, rel=0.02)
    assert pixel_area(frame(CRS, TRANSFORM)) == pytest.approx(0.25, rel=0.002)
