import resource
import signal

import numpy as np
import pytest

from rsmtdf_core.errors import WriteError
from rsmtdf_core.maps.geotiff import MapLayer, raster_file
from rsmtdf_core.scenes.rasters import Frame
from tests.rasters import CRS, TRANSFORM, rasterio

IDS = MapLayer(["class"], 255, {0: (10, 20, 30), 1: (40, 50, 60)}, tags={"class_0": "field"})
FRAME = Frame(310, 520, CRS, TRANSFORM)


def draw_ids(bands: int = 1) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2, (bands, FRAME.height, FRAME.width), np.uint8)


def write_in_parts(path, layer, values, step):
    with raster_file(path, FRAME, layer) as writer:
        for top in range(0, FRAME.height, step):
            for left in range(0, FRAME.width, step):
                writer.write(top, left, values[:, top : top + step, left : left + step])


@pytest.mark.parametrize("step", [7, 256, 300, 520])
def test_blocks_of_any_size_become_one_tiled_raster(tmp_path, step):
    ids = draw_ids()
    write_in_parts(tmp_path / "a.tif", IDS, ids, step)
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert (dataset.read() == ids).all()
        assert dataset.profile["tiled"]
        assert dataset.profile["compress"] == "deflate"
        assert dataset.crs == CRS
        assert dataset.transform == TRANSFORM
        assert dataset.nodata == 255
        assert dataset.colormap(1)[1] == (40, 50, 60, 255)
        assert dataset.colormap(1)[255] == (0, 0, 0, 0)
        assert dataset.tags()["class_0"] == "field"


def test_a_cloud_optimized_one_has_overviews_and_the_same_pixels_and_colors(tmp_path):
    big = Frame(1100, 600, CRS, TRANSFORM)
    ids = np.random.default_rng(0).integers(0, 2, (1, 600, 1100), np.uint8)
    with raster_file(tmp_path / "a.tif", big, IDS, cog=True) as writer:
        writer.write(0, 0, ids)
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.overviews(1)
        assert (dataset.read() == ids).all()
        assert dataset.colormap(1)[0] == (10, 20, 30, 255)
        assert dataset.nodata == 255
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_bands_have_names_and_a_unit(tmp_path):
    values = draw_ids(2)
    write_in_parts(
        tmp_path / "a.tif", MapLayer(["field", "house"], 255, scale=1 / 254), values, 100
    )
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.descriptions == ("field", "house")
        assert dataset.scales == pytest.approx([1 / 254] * 2)
        assert (dataset.read() == values).all()


def test_no_file_is_left_after_a_failure(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"before")

    def write_and_stop():
        with raster_file(tmp_path / "a.tif", FRAME, IDS) as writer:
            writer.write(0, 0, draw_ids()[:, :300])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_stop()
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]
    assert (tmp_path / "a.tif").read_bytes() == b"before"


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(WriteError, match="the folder cannot be written") as caught,
        raster_file(tmp_path / "file" / "a.tif", FRAME, IDS),
    ):
        pass
    assert caught.value.where == str(tmp_path / "file")


def test_a_full_disk_leaves_no_file(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (1, FRAME.height, FRAME.width), np.uint8)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        with pytest.raises(WriteError, match="cannot be written"):
            write_in_parts(tmp_path / "a.tif", MapLayer(["noise"], 255), noise, 520)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert not list(tmp_path.iterdir())
