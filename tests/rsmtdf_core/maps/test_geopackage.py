"""A GeoPackage has the map's areas with class, area and confidence, and appears whole."""

import numpy as np
import pytest

from rsmtdf_core.errors import DataError
from rsmtdf_core.maps.polygons import Generalization
from tests.rasters import CRS, halved, rasterio, write_tiff

pyogrio = pytest.importorskip("pyogrio")
shapely = pytest.importorskip("shapely")

from rsmtdf_core.maps.geopackage import is_geopackage, write_geopackage  # noqa: E402

NAMES = ("field", "house; roof", "Straße")


@pytest.fixture
def layers(tmp_path):
    """A field of 40 x 60 px of 0.5 m with a house of 10 x 8 px and a speck, and their confidence."""
    ids = np.zeros((1, 40, 60), np.uint8)
    ids[0, 10:20, 10:18], ids[0, 30, 40], ids[0, 35:, 55:] = 1, 2, 255
    confidence = np.where(ids == 1, 127, 254).astype(np.uint8)
    id_map = write_tiff(tmp_path / "map.tif", ids, nodata=255)
    layer = write_tiff(tmp_path / "confidence.tif", confidence, nodata=255)
    with rasterio.open(layer, "r+") as dataset:
        dataset.scales = [1 / 254]
    return id_map, layer


def table(path):
    facts, _, geometry, fields = pyogrio.raw.read(path)
    return facts, shapely.from_wkb(geometry), dict(zip(facts["fields"], fields, strict=True))


def test_each_area_is_a_row(layers, tmp_path):
    path = tmp_path / "out.gpkg"
    assert write_geopackage(path, *layers, NAMES, Generalization()) == 3
    facts, polygons, fields = table(path)
    assert facts["crs"] == CRS
    assert pyogrio.list_layers(path)[:, 0].tolist() == ["map"]
    rows = {name: number for number, name in enumerate(fields["class"])}
    assert rows.keys() == set(NAMES)
    house = rows["house; roof"]
    assert fields["id"][house] == 1
    assert fields["area_m2"][house] == pytest.approx(10 * 8 / 4, rel=0.002)
    assert fields["confidence"][house] == pytest.approx(0.5)
    assert fields["confidence"][rows["field"]] == 1
    assert polygons[house].bounds == (400_005, 2_799_990, 400_009, 2_799_995)
    assert is_geopackage(path)
    assert not is_geopackage(halved(path))


def test_small_areas_are_merged(layers, tmp_path):
    path = tmp_path / "out.gpkg"
    assert write_geopackage(path, *layers, NAMES, Generalization(min_area=1, simplify=1)) == 2
    _, _, fields = table(path)
    assert sorted(fields["class"]) == ["field", "house; roof"]
    assert fields["area_m2"].sum() == pytest.approx((40 * 60 - 25) / 4, rel=0.01)


def test_a_map_without_classes_is_an_empty_layer(tmp_path):
    empty = write_tiff(tmp_path / "map.tif", np.full((1, 8, 8), 255, np.uint8), nodata=255)
    assert write_geopackage(tmp_path / "a.gpkg", empty, empty, NAMES, Generalization()) == 0
    facts, polygons, _ = table(tmp_path / "a.gpkg")
    assert set(facts["fields"]) == {"class", "id", "area_m2", "confidence"}
    assert len(polygons) == 0


def test_a_map_without_georeference_leaves_no_file(tmp_path):
    path = write_tiff(tmp_path / "map.tif", np.zeros((1, 4, 4), np.uint8), crs=None)
    with pytest.raises(DataError, match="no coordinate reference system"):
        write_geopackage(tmp_path / "a.gpkg", path, path, NAMES, Generalization())
    assert not (tmp_path / "a.gpkg").exists()
