"""Interrupted predictions: files are complete or absent; intact files are kept, and the others are written again."""

import os

import numpy as np
import pytest
from PIL import Image

from pipeline.predict import PredictSettings, predict
from rsmtdf_core.errors import DataError
from tests.leftovers import ended_process, left_by
from tests.pipeline.predict.helpers import ALL, Stopping, Telling, names
from tests.rasters import halved, write_tiff

pytestmark = pytest.mark.usefixtures("eyes")

ALL_RASTERS = PredictSettings(probabilities=True, confidence=True)


def test_existing_files_are_kept_and_missing_ones_written(run, raster, tmp_path):
    out = tmp_path / "out"
    predict(run, [raster], out, ALL)
    before = {name: (out / name).read_bytes() for name in names(out)}
    (out / "a-confidence.tif").unlink()
    (out / "a-polygons.geojson").unlink()
    kept = (out / "a.tif").stat()
    predict(run, [raster], out, ALL)
    again = (out / "a.tif").stat()
    assert (again.st_ino, again.st_mtime_ns) == (kept.st_ino, kept.st_mtime_ns)
    predict(run, [raster], out, ALL.model_copy(update={"overwrite": True}))
    assert (out / "a.tif").stat().st_ino != kept.st_ino
    assert {name: (out / name).read_bytes() for name in names(out)} == before


def test_stopped_work_leaves_no_partial_file_and_can_be_resumed(run, raster, pixels, tmp_path):
    Image.fromarray(pixels).save(raster.with_name("b.png"))
    with pytest.raises(KeyboardInterrupt):
        predict(run, [raster.parent], tmp_path / "out", ALL_RASTERS, Stopping())
    assert names(tmp_path / "out") == ["predictions.json"]
    predict(run, [raster.parent], tmp_path / "out", ALL_RASTERS)
    assert len(names(tmp_path / "out")) == 10


@pytest.mark.parametrize("damage", [halved, lambda path: path.write_bytes(b"")])
def test_files_that_were_damaged_since_are_written_again(run, raster, pixels, tmp_path, damage):
    """A full disk once left GeoTIFFs without some of their tiles."""
    out = tmp_path / "out"
    image = tmp_path / "b.png"
    Image.fromarray(pixels).save(image)
    jobs = [([raster], ALL.model_copy(update={"cog": True})), ([image], PredictSettings())]
    for inputs, settings in jobs:
        predict(run, inputs, out, settings)
        before = {name: (out / name).read_bytes() for name in names(out)}
        for name in before.keys() - {"predictions.json"}:
            damage(out / name)
            telling = Telling()
            predict(run, inputs, out, settings, telling)
            assert f"{out / name} is damaged and will be written again" in telling.warnings
            assert {name: (out / name).read_bytes() for name in names(out)} == before
        out = tmp_path / "other"


def test_leftovers_of_killed_processes_are_removed_and_those_of_others_stay(run, raster, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    dead = left_by(ended_process(), out / "a.tif")
    alive = left_by(os.getppid(), out / "a.tif")
    predict(run, [raster], out)
    assert not dead.exists()
    assert alive.exists()


def test_maps_that_were_made_in_another_way_are_not_mixed_with_these(run, raster, tmp_path):
    out = tmp_path / "out"
    predict(run, [raster], out)
    with pytest.raises(DataError, match="of other settings: cog: expected false, found true"):
        predict(run, [raster], out, PredictSettings(cog=True))
    predict(run, [raster], out, PredictSettings(cog=True, overwrite=True))
    (out / "predictions.json").unlink()
    with pytest.raises(DataError, match="3 output files exist already") as caught:
        predict(run, [raster], out)
    assert "--overwrite" in caught.value.remedy


def test_a_raster_cut_off_is_named_and_leaves_no_map(run, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (3, 300, 300), np.uint8)
    source = halved(write_tiff(tmp_path / "a.tif", noise))
    with pytest.raises(DataError, match="cannot be read") as caught:
        predict(run, [source], tmp_path / "out")
    assert caught.value.where == str(source)
    assert not list((tmp_path / "out").glob("a*"))


def test_a_folder_that_cannot_be_written_is_reported_before_any_work(run, raster, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="the folder cannot be written") as caught:
        predict(run, [raster], tmp_path / "file" / "out")
    assert caught.value.where == str(tmp_path / "file" / "out")
