"""Areas partition the map, small ones are merged, and simplified neighbors keep their common borders."""

import numpy as np
import pytest

shapely = pytest.importorskip("shapely")

from rsmtdf_core.maps.areas import find_areas, on_ground, square_meters  # noqa: E402
from rsmtdf_core.maps.ground import equal_area_crs  # noqa: E402
from rsmtdf_core.scenes.images.frame import Frame  # noqa: E402
from tests.rasters import CRS, TRANSFORM, rasterio, write_tiff  # noqa: E402


@pytest.fixture
def noise(tmp_path):
    """A map of smooth areas of three classes with specks and a corner without data, uint8 [1, 60, 80]."""
    y, x = np.mgrid[:60, :80]
    ids = ((np.sin(x / 9) + np.cos(y / 7) > 0) + (x > 50)).astype(np.uint8)
    ids[np.random.default_rng(0).random(ids.shape) < 0.02] = 2
    ids[:10, :15] = 255
    return write_tiff(tmp_path / "map.tif", ids[None], nodata=255), ids


def test_areas_are_the_pixels_of_their_class(noise):
    path, ids = noise
    areas = find_areas(path, 3)
    for number in range(3):
        assert shapely.area(areas.polygons[areas.ids == number]).sum() == (ids == number).sum()
    assert shapely.area(shapely.union_all(areas.polygons)) == (ids < 3).sum()


def test_small_areas_take_the_class_of_their_neighbor(noise):
    path, ids = noise
    areas = find_areas(path, 3, least=12)
    assert len(areas.ids) < len(find_areas(path, 3).ids) / 3
    assert shapely.area(areas.polygons).min() >= 12
    assert shapely.area(areas.polygons).sum() == (ids < 3).sum(), "no holes"
    assert not shapely.intersects(areas.polygons, shapely.Point(7, 5)).any(), "no data stays out"


def test_a_small_area_without_a_neighbor_is_left_out(tmp_path):
    ids = np.full((1, 20, 20), 255, np.uint8)
    ids[0, 2:4, 2:4], ids[0, 10:15, 10:15] = 0, 1
    areas = find_areas(write_tiff(tmp_path / "a.tif", ids, nodata=255), 2, least=5)
    assert areas.ids.tolist() == [1]


def test_simplified_areas_share_their_borders(noise):
    path, ids = noise
    exact, simple = find_areas(path, 3, least=12), find_areas(path, 3, least=12, tolerance=2)
    assert shapely.coverage_is_valid(simple.polygons)
    assert shapely.is_valid(simple.polygons).all()
    count = [shapely.get_num_coordinates(areas.polygons).sum() for areas in (exact, simple)]
    assert count[1] < count[0] / 2
    whole = shapely.area(shapely.union_all(simple.polygons))
    assert whole == pytest.approx(shapely.area(simple.polygons).sum()), "no overlaps"
    assert whole == pytest.approx((ids < 3).sum(), rel=0.02)


def test_confidence_is_the_mean_over_the_pixels(noise, tmp_path, monkeypatch):
    monkeypatch.setattr("rsmtdf_core.maps.areas._ROWS", 16)
    path, ids = noise
    values = np.random.default_rng(1).integers(0, 255, (1, *ids.shape), np.uint8)
    layer = write_tiff(tmp_path / "confidence.tif", values, nodata=255)
    with rasterio.open(layer, "r+") as dataset:
        dataset.scales = [1 / 254]
    areas = find_areas(path, 3, confidence=layer)
    largest = int(np.argmax(shapely.area(areas.polygons)))
    inside = rasterio.features.rasterize([areas.polygons[largest]], out_shape=ids.shape) > 0
    assert areas.confidences[largest] == pytest.approx(values[0][inside].mean() / 254)
    sizes = shapely.area(areas.polygons)
    assert np.sum(areas.confidences * sizes) * 254 == pytest.approx(values[0][ids < 3].sum())


def test_areas_on_the_ground_are_in_square_meters():
    polygons = np.array([shapely.box(0, 0, 100, 50)], object)
    frame = Frame(200, 100, rasterio.crs.CRS.from_user_input(CRS), TRANSFORM)
    (moved,) = on_ground(polygons, TRANSFORM)
    assert moved.bounds == (400_000, 2_799_975, 400_050, 2_800_000)
    (area,) = square_meters(np.array([moved], object), frame.crs, equal_area_crs(frame))
    assert area == pytest.approx(50 * 25, rel=0.002)


def test_a_map_without_classes_has_no_areas(tmp_path):
    path = write_tiff(tmp_path / "a.tif", np.full((1, 8, 8), 255, np.uint8), nodata=255)
    assert len(find_areas(path, 3, least=4, tolerance=1, confidence=path).ids) == 0
