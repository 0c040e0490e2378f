"""Areas of maps on disk: grids, units, folders, and the errors of each."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.main import app
from pipeline.areas.run import areas
from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.maps.geotiff import MapLayer, raster_file
from rsmtdf_core.scenes.images.frame import Frame
from tests.rasters import CRS, TRANSFORM, rasterio, write_tiff

NAMES = ("water", "land")


def write_map(path, ids, names=NAMES, crs=CRS, transform=TRANSFORM):
    frame = Frame(
        ids.shape[1], ids.shape[0], crs and rasterio.crs.CRS.from_user_input(crs), transform
    )
    colors = {number: (number, 0, 0) for number in range(len(names))}
    tags = {f"class_{number}": name for number, name in enumerate(names)}
    with raster_file(path, frame, MapLayer(["class"], 255, colors, tags=tags)) as writer:
        writer.write(0, 0, ids[None])
    return path


@pytest.fixture
def ids():
    """A map of 40 x 60 px: a third is water, a corner has no data."""
    ids = np.ones((40, 60), np.uint8)
    ids[:, :20] = 0
    ids[:4, :5] = 255
    return ids


@pytest.fixture
def truth(ids):
    """Scattered reference pixels: three of four are right."""
    truth = np.full(ids.shape, 255, np.uint8)
    truth[2::6, 1::6] = ids[2::6, 1::6]
    truth[2::24, 1::6] = 1 - np.minimum(ids, 1)[2::24, 1::6]
    truth[:4, :5] = 0  # where the map has no data
    return truth


def write_truth(path, truth):
    return write_tiff(path, truth[None], nodata=255)


def test_areas_are_in_hectares_and_pixels_without_data_are_left_out(tmp_path, ids, truth):
    id_map = write_map(tmp_path / "a.tif", ids)
    out = tmp_path / "areas.json"
    report = areas([id_map], write_truth(tmp_path / "truth.tif", truth), out)
    pixel = abs(TRANSFORM.determinant) / 1e4
    assert report.unit == "ha"
    assert report.total == pytest.approx((40 * 60 - 20) * pixel)
    water, land = report.classes
    assert (water.name, water.mapped) == ("water", pytest.approx((40 * 20 - 20) * pixel))
    sampled = (truth < 2) & (ids < 2)
    assert water.sampled + land.sampled == sampled.sum()
    assert water.users.value == pytest.approx((truth[sampled & (ids == 0)] == 0).mean())
    assert json.loads(out.read_text())["classes"][0]["area"]["value"] == water.area.value
    assert not any("too narrow" in note for note in report.notes)


def test_truth_in_patches_is_reported(tmp_path, ids):
    id_map = write_map(tmp_path / "a.tif", ids)
    report = areas([id_map], write_truth(tmp_path / "t.tif", ids))
    assert any("too narrow" in note for note in report.notes)
    assert report.overall.value == 1


def test_folders_are_paired_by_name_and_maps_without_truth_count_as_mapped(tmp_path, ids, truth):
    for name in ("a", "b"):
        write_map(tmp_path / "maps" / "in" / f"{name}.tif", ids)
    write_map(tmp_path / "maps" / "in" / "a-confidence.tif", ids)
    (tmp_path / "truth" / "in").mkdir(parents=True)
    write_truth(tmp_path / "truth" / "in" / "b.tif", truth)
    report = areas([tmp_path / "maps"], tmp_path / "truth")
    single = areas([tmp_path / "maps" / "in" / "b.tif"], tmp_path / "truth" / "in" / "b.tif")
    assert report.total == pytest.approx(2 * single.total)
    assert report.classes[0].area.value == pytest.approx(2 * single.classes[0].area.value)
    assert report.classes[0].sampled == single.classes[0].sampled


def test_without_a_projection_areas_are_in_pixels(tmp_path, ids, truth):
    id_map = write_map(tmp_path / "a.tif", ids, crs="EPSG:4326")
    path = tmp_path / "t.tif"
    write_map(path, truth, crs="EPSG:4326")
    report = areas([id_map], path)
    assert (report.unit, report.total) == ("px", 40 * 60 - 20)


def test_other_grids_classes_and_missing_files_are_refused(tmp_path, ids, truth):
    id_map = write_map(tmp_path / "a.tif", ids)
    reference = write_truth(tmp_path / "t.tif", truth)
    with pytest.raises(
        DataError, match="expected 60 x 40 px like its map, found 30 x 40"
    ) as caught:
        areas([id_map], write_truth(tmp_path / "small.tif", truth[:, :30]))
    assert "rio warp small.tif" in caught.value.remedy
    moved = write_map(tmp_path / "moved.tif", truth, transform=TRANSFORM.translation(5, 0))
    with pytest.raises(DataError, match="another area"):
        areas([id_map], moved)
    with pytest.raises(MissingFileError):
        areas([id_map], tmp_path / "none.tif")
    with pytest.raises(DataError, match="does not name its classes"):
        areas([reference], reference)
    other = write_map(tmp_path / "other.tif", ids, names=("sea", "land"))
    (tmp_path / "truths").mkdir()
    with pytest.raises(DataError, match="no reference raster has the name"):
        areas([id_map], tmp_path / "truths")
    write_truth(tmp_path / "truths" / "a.tif", truth)
    with pytest.raises(DataError, match=r"other classes than a\.tif: sea, land"):
        areas([id_map, other], tmp_path / "truths")
    with pytest.raises(DataError, match="expected a folder of reference rasters for 2 maps"):
        areas([id_map, other], reference)


def test_the_command_prints_a_table(tmp_path, ids, truth):
    id_map = write_map(tmp_path / "a.tif", ids)
    reference = write_truth(tmp_path / "t.tif", truth)
    words = ["areas", str(id_map), "--truth", str(reference), "--out", str(tmp_path / "r.json")]
    done = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "water" in done.output
    assert "Olofsson" in done.output
    assert (tmp_path / "r.json").is_file()
