"""Maps have the georeference of their input, and inputs without a georeference have no polygons."""

import numpy as np
import pytest
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC

from pipeline.predict import PredictSettings, predict
from pipeline.trained import load_run
from rsmtdf_core.errors import ConfigError, DataError
from tests.pipeline.predict.helpers import ALL, Telling, names, read, reference
from tests.rasters import CRS, TRANSFORM, ramp, rasterio, write_tiff

pytestmark = pytest.mark.usefixtures("eyes")


def test_a_raster_becomes_a_map_with_the_same_georeference(run, raster, tmp_path):
    (path,) = predict(run, [raster], tmp_path / "out")
    manifest = load_run(run).manifest
    seen = np.moveaxis(read(raster), 0, 2)
    expected = reference(run, seen)
    expected[:10, :20] = manifest.ignore_id
    assert len(np.unique(expected)) > 2
    with rasterio.open(path) as dataset:
        assert (dataset.read(1) == expected).all()
        assert (dataset.crs, dataset.transform) == (CRS, TRANSFORM)
        assert dataset.nodata == manifest.ignore_id
        assert dataset.colormap(1)[1] == (*manifest.palette[1].tolist(), 255)
        assert dataset.profile["tiled"]


def test_a_raster_without_georeference_is_mapped_with_a_warning_but_has_no_polygons(run, tmp_path):
    source = write_tiff(tmp_path / "a.tif", ramp(3, 40, 40, np.uint8), crs=None)
    telling = Telling()
    (path,) = predict(run, [source], tmp_path / "out", reporter=telling)
    with rasterio.open(path) as dataset:
        assert dataset.crs is None
    assert any("no coordinate reference system" in text for text in telling.warnings)
    with pytest.raises(DataError, match="no longitude and latitude") as caught:
        predict(run, [source], tmp_path / "polygons", ALL)
    assert caught.value.where == str(source)
    assert not list((tmp_path / "polygons").iterdir())


def test_ground_control_points_and_coefficients_are_kept_in_maps(run, tmp_path):
    corners = [
        (0, 0, 10.0, 50.0),
        (0, 40, 10.01, 50.0),
        (40, 0, 10.0, 49.99),
        (40, 40, 10.01, 49.99),
    ]
    points = [GroundControlPoint(*corner, 0.0) for corner in corners]
    georeference = {"crs": "EPSG:4326", "transform": None, "gcps": points}
    source = write_tiff(tmp_path / "a.tif", ramp(3, 40, 40, np.uint8), **georeference)
    ones = [1.0] * 20
    coefficients = RPC(
        0.0, 1.0, 50.0, 0.1, ones, ones, 20.0, 20.0, 10.0, 0.1, ones, ones, 20.0, 20.0
    )
    placed_by_sensor = write_tiff(
        tmp_path / "b.tif", ramp(3, 40, 40, np.uint8), crs=None, transform=None, rpcs=coefficients
    )
    telling = Telling()
    settings = PredictSettings(confidence=True)
    predict(run, [source, placed_by_sensor], tmp_path / "out", settings, telling)
    assert not any("reference system" in text for text in telling.warnings)
    for name in ("a.tif", "a-confidence.tif"):
        with rasterio.open(tmp_path / "out" / name) as dataset:
            kept, crs = dataset.gcps
            assert crs == "EPSG:4326"
            assert sorted((p.row, p.col, p.x, p.y) for p in kept) == sorted(corners)
    with (
        rasterio.open(tmp_path / "out" / "b.tif") as dataset,
        rasterio.open(placed_by_sensor) as sensor,
    ):
        assert dataset.rpcs == sensor.rpcs
        assert sensor.rpcs.lat_off == 50
    with pytest.raises(DataError, match="ground control points") as caught:
        predict(run, [source], tmp_path / "polygons", ALL)
    assert "gdalwarp a.tif" in caught.value.remedy


@pytest.mark.parametrize(
    "crs", ['LOCAL_CS["site",UNIT["metre",1]]', "+proj=longlat +R=1737400 +no_defs +type=crs"]
)
def test_coordinates_not_on_the_earth_have_no_polygons_and_cost_no_work(run, tmp_path, crs):
    source = write_tiff(tmp_path / "a.tif", ramp(3, 40, 40, np.uint8), crs=crs)
    with pytest.raises(DataError, match="no longitude and latitude") as caught:
        predict(run, [source], tmp_path / "out", ALL)
    assert caught.value.where == str(source)
    assert not list((tmp_path / "out").iterdir())


def test_a_picture_in_a_folder_leaves_polygons_to_the_rasters(run, raster, pixels, tmp_path):
    folder = tmp_path / "both"
    folder.mkdir()
    raster.rename(folder / "a.tif")
    Image.fromarray(pixels).save(folder / "b.png")
    telling = Telling()
    predict(run, [folder], tmp_path / "out", PredictSettings(polygons=True), telling)
    written = names(tmp_path / "out")
    assert {"a-polygons.geojson", "a.tif", "b.png"} <= set(written)
    assert "b-polygons.geojson" not in written
    assert any("no polygons" in text and "b.png" in text for text in telling.warnings)
    with pytest.raises(DataError, match="no longitude and latitude"):
        predict(run, [folder / "b.png"], tmp_path / "other", PredictSettings(polygons=True))


def test_a_virtual_raster_becomes_a_map_with_its_georeference(run, raster, tmp_path):
    with rasterio.open(raster) as source:
        size = f'rasterXSize="{source.width}" rasterYSize="{source.height}"'
        geotransform = ",".join(map(str, source.transform.to_gdal()))
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}"><SimpleSource><SourceFilename relativeToVRT="1">'
        f"{raster.name}</SourceFilename><SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
        for band in (1, 2, 3)
    )
    virtual = raster.with_name("m.vrt")
    head = f"<SRS>{CRS}</SRS><GeoTransform>{geotransform}</GeoTransform>"
    virtual.write_text(f"<VRTDataset {size}>{head}{bands}</VRTDataset>")
    (path,) = predict(run, [virtual], tmp_path / "out")
    assert path == tmp_path / "out" / "m.tif"
    with rasterio.open(path) as dataset:
        assert (dataset.crs, dataset.transform) == (CRS, TRANSFORM)
    (plain,) = predict(run, [raster], tmp_path / "plain")
    labeled = read(plain)[0] != load_run(run).manifest.ignore_id
    assert (read(path)[0] == read(plain)[0])[labeled].all()


def test_polygons_are_made_only_if_their_packages_are_installed(run, raster, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.predict.run.find_spec", lambda _: None)
    for settings, option in (
        (PredictSettings(geopackage=True), "--geopackage"),
        (PredictSettings(polygons=True, min_area=3), "--min-area"),
    ):
        with pytest.raises(ConfigError, match="is not installed") as caught:
            predict(run, [raster], tmp_path / "out", settings)
        assert option in caught.value.where
        assert caught.value.remedy == "pip install 'rsmtdf[geo]'"
    assert not (tmp_path / "out").exists()
    assert PredictSettings(stac=True).places
    assert not PredictSettings(confidence=True).places
