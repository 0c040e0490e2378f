import json

import numpy as np
import pytest

from rsmtdf_core.errors import DataError
from rsmtdf_core.maps.polygons import Generalization, write_polygons
from tests.rasters import CRS, write_tiff


def test_connected_areas_of_a_class_become_features_on_the_earth(tmp_path):
    from rasterio.warp import transform

    ids = np.full((1, 40, 60), 255, np.uint8)
    ids[0, :20, :30] = 1
    ids[0, 20:, 30:] = 1  # touches the first by a corner
    ids[0, :10, 40:] = 0
    path = write_tiff(tmp_path / "a.tif", ids, nodata=255)
    count = write_polygons(tmp_path / "a.geojson", path, ("field", "house"))
    collection = json.loads((tmp_path / "a.geojson").read_text())
    assert collection["type"] == "FeatureCollection"
    assert count == len(collection["features"]) == 3
    names = sorted(feature["properties"]["class"] for feature in collection["features"])
    assert names == ["field", "house", "house"]
    (field,) = (feature for feature in collection["features"] if feature["properties"]["id"] == 0)
    eastings, northings = [400_020, 400_030], [2_800_000, 2_799_995]  # from TRANSFORM
    (west, east), (north, south) = transform(CRS, "EPSG:4326", eastings, northings)
    ring = np.array(field["geometry"]["coordinates"][0])
    assert ring.min(axis=0) == pytest.approx([west, south], abs=1e-6)
    assert ring.max(axis=0) == pytest.approx([east, north], abs=1e-6)


def test_a_map_without_georeference_has_no_polygons(tmp_path):
    path = write_tiff(tmp_path / "a.tif", np.zeros((1, 4, 4), np.uint8), crs=None)
    with pytest.raises(DataError, match="no coordinate reference system"):
        write_polygons(tmp_path / "a.geojson", path, ("field",))
    assert not (tmp_path / "a.geojson").exists()


def test_small_areas_are_merged_and_corners_removed(tmp_path):
    pytest.importorskip("shapely")
    ids = np.zeros((1, 40, 60), np.uint8)
    ids[0, 10:20, 10:18], ids[0, 30, 40] = 1, 1
    path = write_tiff(tmp_path / "a.tif", ids, nodata=255)
    detail = Generalization(min_area=0.5)
    assert write_polygons(tmp_path / "exact.geojson", path, ("field", "house")) == 3
    assert write_polygons(tmp_path / "a.geojson", path, ("field", "house"), detail) == 2
    exact, merged = (
        json.loads((tmp_path / name).read_text())["features"]
        for name in ("exact.geojson", "a.geojson")
    )
    (house,) = (item["geometry"] for item in merged if item["properties"]["class"] == "house")
    corners = [sorted(item["geometry"]["coordinates"][0]) for item in exact]
    assert sorted(house["coordinates"][0]) in corners
