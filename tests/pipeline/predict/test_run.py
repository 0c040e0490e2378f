"""Maps of rasters and images: their contents and their windows."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from pipeline.predict import PredictSettings, predict
from pipeline.trained import load_run
from rsmtdf_core.errors import ConfigError, DataError, RunError
from rsmtdf_core.scenes.bands import BandSettings
from rsmtdf_core.student.model import Student
from tests.pipeline.predict.helpers import ALL, Telling, names, read, reference
from tests.rasters import CRS, ramp, rasterio, write_tiff

pytestmark = pytest.mark.usefixtures("eyes")


def test_an_image_becomes_a_palette_picture_and_a_panel(run, pixels, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (path,) = predict(run, [tmp_path / "a.png"], tmp_path / "out")
    assert names(tmp_path / "out") == ["a-panel.png", "a.png", "predictions.json"]
    with Image.open(path) as picture:
        assert picture.mode == "P"
        assert (np.asarray(picture) == reference(run, pixels)).all()


def test_probabilities_and_confidence_belong_to_the_map(run, raster, tmp_path):
    (path,) = predict(run, [raster], tmp_path / "out", ALL)
    ids, manifest = read(path)[0], load_run(run).manifest
    probabilities = read(tmp_path / "out" / "a-probabilities.tif").astype(int)
    confidence = read(tmp_path / "out" / "a-confidence.tif")[0]
    labeled = ids != manifest.ignore_id
    assert labeled.sum() == ids.size - 200
    assert (probabilities[:, ~labeled] == 255).all()
    assert (confidence[~labeled] == 255).all()
    classes = len(manifest.classes)
    assert (abs(probabilities[:, labeled].sum(axis=0) - 254) <= classes / 2).all()
    assert (probabilities.max(axis=0) == confidence).all()
    largest = np.take_along_axis(
        probabilities, np.where(labeled, ids, 0)[None].astype(int), axis=0
    )[0]
    assert (largest == confidence)[labeled].all()
    with rasterio.open(tmp_path / "out" / "a-probabilities.tif") as written:
        assert written.descriptions == manifest.class_names
        assert written.crs == CRS
    features = json.loads((tmp_path / "out" / "a-polygons.geojson").read_text())["features"]
    present = {manifest.class_names[number] for number in np.unique(ids[labeled])}
    assert {feature["properties"]["class"] for feature in features} == present


def test_a_raster_without_data_becomes_a_map_without_classes(run, tmp_path):
    source = write_tiff(tmp_path / "a.tif", np.zeros((3, 40, 70), np.uint8), nodata=0)
    (path,) = predict(run, [source], tmp_path / "out", ALL)
    assert (read(path) == load_run(run).manifest.ignore_id).all()
    assert json.loads((tmp_path / "out" / "a-polygons.geojson").read_text())["features"] == []


def test_sixteen_bits_are_scaled_as_asked_and_refused_else(run, tmp_path):
    source = write_tiff(tmp_path / "a.tif", ramp(4, 40, 40))
    with pytest.raises(DataError, match="8 bits, found uint16"):
        predict(run, [source], tmp_path / "out")
    bands = BandSettings(indices=[4, 3, 2], scale=[[4000, 4255], [3000, 3255], [2000, 2255]])
    (path,) = predict(run, [source], tmp_path / "out", PredictSettings(bands=bands))
    seen = np.clip(ramp(1, 40, 40)[0] - 1000, 0, 255).astype(np.uint8)
    assert (read(path)[0] == reference(run, np.stack([seen] * 3, axis=2))).all()


def test_a_cloud_optimized_map_is_the_same_map(run, raster, tmp_path):
    plain, cog = (
        predict(run, [raster], tmp_path / str(cog), PredictSettings(cog=cog))[0]
        for cog in (False, True)
    )
    assert (read(plain) == read(cog)).all()
    with rasterio.open(cog) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_a_folder_is_searched_except_for_its_output(run, raster, pixels, tmp_path):
    folder = raster.parent
    (folder / "deeper").mkdir()
    Image.fromarray(pixels).save(folder / "deeper" / "b.jpg")
    for _ in range(2):  # the second time with what the first wrote
        maps = predict(run, [folder], folder / "maps")
        assert maps == [folder / "maps" / "a.tif", folder / "maps" / "deeper" / "b.png"]


def test_too_little_memory_names_a_smaller_batch(run, raster, tmp_path, monkeypatch):
    def logits(_self: Student, images: Tensor) -> Tensor:
        if len(images) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return images

    monkeypatch.setattr(Student, "logits", logits)
    with pytest.raises(RunError, match="4 windows of 64 px at a time") as caught:
        predict(run, [raster], tmp_path / "out")
    smaller = "evaluation.inference.batch=2"
    assert f"--set {smaller}" in caught.value.remedy
    assert predict(run, [raster], tmp_path / "out", overrides=[smaller])[0].is_file()


def test_windows_are_averaged_over_requested_sizes_and_mirrors(run, raster, tmp_path, monkeypatch):
    """The spots are symmetric, so flips do not change the result; a smaller copy is blurred more."""
    seen, eyes = [], Student.logits

    def logits(student: Student, images: Tensor) -> Tensor:
        seen.extend(images.shape[-1] for _ in images)
        return eyes(student, images)

    monkeypatch.setattr(Student, "logits", logits)
    flips = "evaluation.inference.flips=[horizontal,vertical]"
    smaller = "evaluation.inference.scales=[0.5]"
    maps, sides = [], []
    for number, overrides in enumerate(([], [flips], [smaller])):
        (path,) = predict(run, [raster], tmp_path / str(number), overrides=overrides)
        maps.append(read(path))
        sides.append(seen.copy())
        seen.clear()
    assert sides[1] == 3 * sides[0]
    assert sides[2] == [32] * len(sides[0])
    assert (maps[0] == maps[1]).mean() > 0.99
    assert 0.5 < (maps[0] == maps[2]).mean() < 0.99


def test_windows_that_do_not_overlap_are_reported(run, raster, tmp_path):
    telling = Telling()
    overrides = ["evaluation.inference.overlap=0"]
    predict(run, [raster], tmp_path / "out", reporter=telling, overrides=overrides)
    assert any("evaluation.inference.overlap=0.33" in text for text in telling.warnings)


@pytest.mark.parametrize("key", ["optimiser.epochs=3", "evaluation.inference.windw=64"])
def test_keys_that_are_not_about_predicting_are_refused_before_any_work(run, raster, tmp_path, key):
    with pytest.raises(ConfigError):
        predict(run, [raster], tmp_path / "out", overrides=[key])
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="needs Linux's peak of memory"
)
def test_memory_does_not_grow_with_the_rasters_height(run, tmp_path):
    width, heights = 1500, (300, 4200)
    peaks = []
    for height in (heights[0], *heights):  # the first makes everything be loaded
        source = write_tiff(tmp_path / f"{height}.tif", np.ones((3, height, width), np.uint8))
        before = _memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
        predict(run, [source], tmp_path / "out", PredictSettings(overwrite=True, confidence=True))
        peaks.append(_memory("VmHWM") - before)
    logits = 6 * 4 * width * (heights[1] - heights[0])
    assert peaks[2] - peaks[1] < logits / 6


def _memory(name: str) -> int:
    """A number of /proc/self/status, bytes."""
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)
    )
    return 1024 * int(line.split()[1])


def test_transparent_pixels_are_nodata_in_the_map(run, pixels, tmp_path):
    alpha = np.full(pixels.shape[:2], 255, np.uint8)
    alpha[:7, :9] = 0
    Image.fromarray(np.dstack([pixels, alpha])).save(tmp_path / "a.png")
    (path,) = predict(run, [tmp_path / "a.png"], tmp_path / "out")
    with Image.open(path) as picture:
        ids = np.asarray(picture)
    assert ((ids == load_run(run).manifest.ignore_id) == (alpha == 0)).all()
