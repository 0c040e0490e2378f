"""Scenes of one file for each band, rasters at addresses, and several processes give the maps of local files."""

import numpy as np
import pytest
from PIL import Image

from pipeline.predict import PredictSettings, predict
from rsmtdf_core.errors import ConfigError, DataError, IncompleteError, MissingFileError
from rsmtdf_core.scenes.images.source import RemoteFile, parse_file
from tests.pipeline.predict.helpers import Telling, names, read
from tests.rasters import TRANSFORM, rasterio, write_tiff
from tests.web import serve

SOFT = PredictSettings(probabilities=True)
PATTERNS = ("B04.tif", "B03.tif", "B02.tif")
STACKED = PredictSettings(probabilities=True, images=PATTERNS)


def write_bands(folder, values, name=""):
    folder.mkdir(parents=True, exist_ok=True)
    for band, value in zip(PATTERNS, values, strict=True):
        write_tiff(folder / f"{name}{band}", value[None], nodata=0)


@pytest.fixture
def values(raster):
    return read(raster)


def same(folder, other, stem: str) -> bool:
    return all(
        (folder / f"{stem}{end}").read_bytes() == (other / f"{stem}{end}").read_bytes()
        for end in (".tif", "-probabilities.tif", ".qml")
    )


def test_files_of_bands_give_the_map_of_one_file(run, raster, values, tmp_path):
    write_bands(tmp_path / "scenes" / "deep" / "a", values)
    write_bands(tmp_path / "scenes" / "b", values[:, :70, :90])
    maps = predict(run, [tmp_path / "scenes"], tmp_path / "out", STACKED)
    assert [str(path.relative_to(tmp_path / "out")) for path in maps] == ["b.tif", "deep/a.tif"]
    predict(run, [raster], tmp_path / "single", SOFT)
    assert np.array_equal(read(maps[1]), read(tmp_path / "single" / "a.tif"))
    assert same(tmp_path / "out" / "deep", tmp_path / "single", "a")
    with rasterio.open(maps[1]) as dataset:
        assert (dataset.transform, dataset.shape) == (TRANSFORM, values.shape[1:])


def test_the_folder_of_a_scene_names_its_map(run, values, tmp_path):
    write_bands(tmp_path / "scene.v1", values)
    [path] = predict(run, [tmp_path / "scene.v1"], tmp_path / "out", STACKED)
    assert path == tmp_path / "out" / "scene.v1.tif"
    assert "scene.v1-panel.png" in names(tmp_path / "out")


def test_scenes_may_be_named_by_fields(run, values, tmp_path):
    for name in ("x_", "y_"):
        write_bands(tmp_path / "in2" / "deep", values, name)
    settings = PredictSettings(images=tuple(f"all/{{name}}_{band}" for band in PATTERNS))
    maps = predict(run, [tmp_path / "in2"], tmp_path / "out", settings)
    assert [path.name for path in maps] == ["x.tif", "y.tif"]
    assert maps[0].parent == tmp_path / "out" / "deep"


def test_an_incomplete_scene_and_a_single_band_are_errors(run, values, tmp_path):
    write_bands(tmp_path / "scene", values)
    with pytest.raises(DataError, match="one band of a scene"):
        predict(run, [tmp_path / "scene" / "B03.tif"], tmp_path / "out", STACKED)
    (tmp_path / "scene" / "B02.tif").unlink()
    with pytest.raises(MissingFileError, match=r"'B02\.tif' is missing for B04\.tif"):
        predict(run, [tmp_path / "scene"], tmp_path / "out", STACKED)


def test_a_damaged_band_fails_its_scene_alone(run, values, tmp_path):
    for name in "ab":
        write_bands(tmp_path / "scenes" / name, values)
    (tmp_path / "scenes" / "a" / "B03.tif").write_bytes(b"no image")
    with pytest.raises(IncompleteError) as caught:
        predict(run, [tmp_path / "scenes"], tmp_path / "out", STACKED)
    assert caught.value.written == (tmp_path / "out" / "b.tif",)


def test_a_raster_at_an_address_gives_the_map_of_the_file(run, raster, tmp_path):
    predict(run, [raster], tmp_path / "local", SOFT)
    with serve(raster.parent) as server:
        address = f"{server.address}/a.tif?signature=secret"
        telling = Telling()
        predict(run, [parse_file(address)], tmp_path / "out", SOFT, telling)
        assert same(tmp_path / "out", tmp_path / "local", "a")
        with pytest.raises(DataError, match="cannot be read") as caught:
            predict(run, [parse_file(f"{server.address}/none.tif?k=secret")], tmp_path / "no")
    assert "secret" not in str(caught.value)
    assert "check the address" in caught.value.remedy
    assert not any("secret" in path.read_text("latin-1") for path in (tmp_path / "out").iterdir())


def test_a_raster_without_georeference_is_not_read_from_an_address(run, pixels, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    with serve(tmp_path) as server, pytest.raises(DataError, match="needs a georeference"):
        predict(run, [parse_file(f"{server.address}/a.tif")], tmp_path / "out")


def test_a_raster_on_s3_gives_the_map_of_the_file(run, raster, tmp_path, monkeypatch):
    moto = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "testing")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        settings = {"AWS_S3_ENDPOINT": f"{host}:{port}", "AWS_HTTPS": "NO"}
        for key, value in (settings | {"AWS_VIRTUAL_HOSTING": "FALSE"}).items():
            monkeypatch.setenv(key, value)
        client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
        client.create_bucket(Bucket="scenes")
        client.put_object(Bucket="scenes", Key="day/a.tif", Body=raster.read_bytes())
        predict(run, [parse_file("s3://scenes/day/a.tif")], tmp_path / "out", SOFT)
    finally:
        server.stop()
    predict(run, [raster], tmp_path / "local", SOFT)
    assert same(tmp_path / "out", tmp_path / "local", "a")


@pytest.mark.parametrize("text", ["ftp://host/a.tif", "gs://bucket/a.tif", "http://"])
def test_other_addresses_are_refused(text):
    with pytest.raises(ConfigError, match="expected a path, or an address that starts with http"):
        parse_file(text)


def test_paths_and_addresses_are_told_apart(tmp_path):
    assert parse_file(str(tmp_path)) == tmp_path
    file = parse_file("https://user:word@host/x/a.b.tif?key=1")
    assert isinstance(file, RemoteFile)
    assert (str(file), file.stem, file.suffix) == ("https://host/x/a.b.tif", "a.b", ".tif")
    assert "word" not in repr(file)
    assert file.gdal_path == "/vsicurl/https://user:word@host/x/a.b.tif?key=1"


def test_several_processes_write_what_one_writes_and_go_on(run, raster, values, tmp_path):
    folder = raster.parent
    for number in range(2):
        write_tiff(folder / f"b{number}.tif", values[:, number:, : 100 + number])
    (folder / "broken.tif").write_bytes(raster.read_bytes()[:3000])
    for out, workers in (("one", 1), ("two", 2)):
        with pytest.raises(IncompleteError, match="1 of 4 images failed"):
            predict(run, [folder], tmp_path / out, SOFT, workers=workers)
    assert names(tmp_path / "two") == names(tmp_path / "one")
    for stem in ("a", "b0", "b1"):
        assert same(tmp_path / "two", tmp_path / "one", stem)
    (tmp_path / "two" / "b1.tif").unlink()
    (folder / "broken.tif").unlink()
    kept = (tmp_path / "two" / "a.tif").stat().st_ino
    predict(run, [folder], tmp_path / "two", SOFT, workers=2)
    assert (tmp_path / "two" / "a.tif").stat().st_ino == kept
    assert same(tmp_path / "two", tmp_path / "one", "b1")
