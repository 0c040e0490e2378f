"""Maps of rasters and images: where they lie, what they hold, and what is left when work ends early."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from torch import Tensor

from pipeline.evaluate import load_run
from pipeline.predict import PredictSettings, predict
from pipeline.reporter import Silent
from pipeline.scoring import predict_ids
from rsmtdf_core.errors import ConfigError, DataError, RunError
from rsmtdf_core.rasters.bands import BandSettings
from rsmtdf_core.student.model import Student
from tests.leftovers import ended_process, left_by
from tests.rasters import CRS, TRANSFORM, halved, ramp, rasterio, write_tiff

ALL = PredictSettings(probabilities=True, confidence=True, polygons=True)
ALL_RASTERS = PredictSettings(probabilities=True, confidence=True)


@pytest.fixture(autouse=True)
def _eyes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six classes by the colours around a pixel, as the maps of an untrained student show one class."""

    def logits(_self: Student, images: Tensor) -> Tensor:
        blurred = F.avg_pool2d(images, 9, stride=1, padding=4)
        return torch.cat([blurred, -blurred], dim=1)

    monkeypatch.setattr(Student, "logits", logits)


class Stopping(Silent):
    """Ends the work when the first block was written, as Ctrl-C does."""

    def advance(self, count: int = 1, note: str = "") -> None:
        raise KeyboardInterrupt


class Telling(Silent):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as found:
        return found.read()


def names(folder: Path) -> list[str]:
    return sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())


def reference(run: Path, pixels: np.ndarray) -> np.ndarray:
    """Ids by the code that evaluates, with the blending of maps."""
    trained = load_run(run)
    how = trained.config.evaluation.inference.model_copy(update={"blend": "hann"})
    return predict_ids(trained.student, pixels, how)


def test_a_raster_becomes_a_map_at_the_same_place(run, raster, tmp_path):
    (path,) = predict(run, [raster], tmp_path / "out")
    manifest = load_run(run).manifest
    seen = np.moveaxis(read(raster), 0, 2)
    expected = reference(run, seen)
    expected[:10, :20] = manifest.ignore_id
    assert len(np.unique(expected)) > 2
    with rasterio.open(path) as found:
        assert (found.read(1) == expected).all()
        assert (found.crs, found.transform) == (CRS, TRANSFORM)
        assert found.nodata == manifest.ignore_id
        assert found.colormap(1)[1] == (*manifest.palette[1].tolist(), 255)
        assert found.profile["tiled"]


def test_an_image_becomes_a_palette_picture_and_a_panel(run, pixels, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (path,) = predict(run, [tmp_path / "a.png"], tmp_path / "out")
    assert names(tmp_path / "out") == ["a-panel.png", "a.png", "predictions.json"]
    with Image.open(path) as found:
        assert found.mode == "P"
        assert (np.asarray(found) == reference(run, pixels)).all()


def test_probabilities_and_confidence_belong_to_the_map(run, raster, tmp_path):
    (path,) = predict(run, [raster], tmp_path / "out", ALL)
    ids, manifest = read(path)[0], load_run(run).manifest
    probabilities = read(tmp_path / "out" / "a-probabilities.tif").astype(int)
    confidence = read(tmp_path / "out" / "a-confidence.tif")[0]
    known = ids != manifest.ignore_id
    assert known.sum() == ids.size - 200
    assert (probabilities[:, ~known] == 255).all()
    assert (confidence[~known] == 255).all()
    classes = len(manifest.classes)
    assert (abs(probabilities[:, known].sum(axis=0) - 254) <= classes / 2).all()
    assert (probabilities.max(axis=0) == confidence).all()
    own = np.take_along_axis(probabilities, np.where(known, ids, 0)[None].astype(int), axis=0)[0]
    assert (own == confidence)[known].all()
    with rasterio.open(tmp_path / "out" / "a-probabilities.tif") as found:
        assert found.descriptions == manifest.class_names
        assert found.crs == CRS
    features = json.loads((tmp_path / "out" / "a-polygons.geojson").read_text())["features"]
    present = {manifest.class_names[number] for number in np.unique(ids[known])}
    assert {one["properties"]["class"] for one in features} == present


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
    with rasterio.open(cog) as found:
        assert found.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_a_folder_is_looked_through_and_its_own_output_left_out(run, raster, pixels, tmp_path):
    folder = raster.parent
    (folder / "deeper").mkdir()
    Image.fromarray(pixels).save(folder / "deeper" / "b.jpg")
    for _ in range(2):  # the second time with what the first wrote
        found = predict(run, [folder], folder / "maps")
        assert found == [folder / "maps" / "a.tif", folder / "maps" / "deeper" / "b.png"]


def test_what_is_there_is_kept_and_what_is_missing_is_made(run, raster, tmp_path):
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


def test_work_that_is_stopped_leaves_nothing_half_and_goes_on(run, raster, pixels, tmp_path):
    Image.fromarray(pixels).save(raster.with_name("b.png"))
    with pytest.raises(KeyboardInterrupt):
        predict(run, [raster.parent], tmp_path / "out", ALL_RASTERS, Stopping())
    assert names(tmp_path / "out") == ["predictions.json"]
    predict(run, [raster.parent], tmp_path / "out", ALL_RASTERS)
    assert len(names(tmp_path / "out")) == 8


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
            assert f"{out / name} is damaged and is written again" in telling.warnings
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
    with pytest.raises(DataError, match="made in another way: cog: expected false, found true"):
        predict(run, [raster], out, PredictSettings(cog=True))
    predict(run, [raster], out, PredictSettings(cog=True, overwrite=True))
    (out / "predictions.json").unlink()
    with pytest.raises(DataError, match="1 files are there already") as told:
        predict(run, [raster], out)
    assert "--overwrite" in told.value.remedy


def test_a_raster_without_a_place_is_mapped_with_a_warning_but_has_no_polygons(run, tmp_path):
    source = write_tiff(tmp_path / "a.tif", ramp(3, 40, 40, np.uint8), crs=None)
    telling = Telling()
    (path,) = predict(run, [source], tmp_path / "out", reporter=telling)
    with rasterio.open(path) as found:
        assert found.crs is None
    assert any("no coordinate reference system" in one for one in telling.warnings)
    with pytest.raises(DataError, match="polygons have no place") as told:
        predict(run, [source], tmp_path / "polygons", ALL)
    assert told.value.where == str(source)
    assert not list((tmp_path / "polygons").iterdir())


def test_a_raster_cut_off_is_named_and_leaves_no_map(run, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (3, 300, 300), np.uint8)
    source = halved(write_tiff(tmp_path / "a.tif", noise))
    with pytest.raises(DataError, match="cannot be read") as told:
        predict(run, [source], tmp_path / "out")
    assert told.value.where == str(source)
    assert not list((tmp_path / "out").glob("a*"))


def test_a_folder_that_cannot_be_written_is_told_before_any_work(run, raster, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="the folder cannot be written") as told:
        predict(run, [raster], tmp_path / "file" / "out")
    assert told.value.where == str(tmp_path / "file" / "out")


def test_too_little_memory_names_a_smaller_batch(run, raster, tmp_path, monkeypatch):
    def logits(_self: Student, images: Tensor) -> Tensor:
        if len(images) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return images

    monkeypatch.setattr(Student, "logits", logits)
    with pytest.raises(RunError, match="4 windows of 64 px at a time") as told:
        predict(run, [raster], tmp_path / "out")
    smaller = "evaluation.inference.batch=2"
    assert f"--set {smaller}" in told.value.remedy
    assert predict(run, [raster], tmp_path / "out", overrides=[smaller])[0].is_file()


def test_windows_are_averaged_over_sizes_and_mirrors_where_asked_for(
    run, raster, tmp_path, monkeypatch
):
    """The eyes are the same in every mirror, so flips change nothing; a smaller copy is blurred more."""
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


def test_windows_that_do_not_overlap_are_told(run, raster, tmp_path):
    telling = Telling()
    overrides = ["evaluation.inference.overlap=0"]
    predict(run, [raster], tmp_path / "out", reporter=telling, overrides=overrides)
    assert any("evaluation.inference.overlap=0.33" in one for one in telling.warnings)


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
        one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith(name)
    )
    return 1024 * int(line.split()[1])


def test_ground_control_points_and_coefficients_are_kept_in_maps(run, tmp_path):
    corners = [
        (0, 0, 10.0, 50.0),
        (0, 40, 10.01, 50.0),
        (40, 0, 10.0, 49.99),
        (40, 40, 10.01, 49.99),
    ]
    points = [GroundControlPoint(*corner, 0.0) for corner in corners]
    place = {"crs": "EPSG:4326", "transform": None, "gcps": points}
    source = write_tiff(tmp_path / "a.tif", ramp(3, 40, 40, np.uint8), **place)
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
    assert not any("reference system" in one for one in telling.warnings)
    for name in ("a.tif", "a-confidence.tif"):
        with rasterio.open(tmp_path / "out" / name) as found:
            kept, crs = found.gcps
            assert crs == "EPSG:4326"
            assert sorted((p.row, p.col, p.x, p.y) for p in kept) == sorted(corners)
    with (
        rasterio.open(tmp_path / "out" / "b.tif") as found,
        rasterio.open(placed_by_sensor) as known,
    ):
        assert found.rpcs == known.rpcs
        assert known.rpcs.lat_off == 50
    with pytest.raises(DataError, match="ground control points") as told:
        predict(run, [source], tmp_path / "polygons", ALL)
    assert "gdalwarp a.tif" in told.value.remedy


@pytest.mark.parametrize(
    "crs", ['LOCAL_CS["site",UNIT["metre",1]]', "+proj=longlat +R=1737400 +no_defs +type=crs"]
)
def test_a_place_that_is_not_on_the_earth_has_no_polygons_and_costs_no_work(run, tmp_path, crs):
    source = write_tiff(tmp_path / "a.tif", ramp(3, 40, 40, np.uint8), crs=crs)
    with pytest.raises(DataError, match="polygons have no") as told:
        predict(run, [source], tmp_path / "out", ALL)
    assert told.value.where == str(source)
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
    assert any("b.png: no polygons" in one for one in telling.warnings)
    with pytest.raises(DataError, match="polygons have no place"):
        predict(run, [folder / "b.png"], tmp_path / "other", PredictSettings(polygons=True))


def test_what_is_transparent_is_no_data_in_the_map(run, pixels, tmp_path):
    alpha = np.full(pixels.shape[:2], 255, np.uint8)
    alpha[:7, :9] = 0
    Image.fromarray(np.dstack([pixels, alpha])).save(tmp_path / "a.png")
    (path,) = predict(run, [tmp_path / "a.png"], tmp_path / "out")
    with Image.open(path) as found:
        ids = np.asarray(found)
    assert ((ids == load_run(run).manifest.ignore_id) == (alpha == 0)).all()


def test_a_virtual_raster_becomes_a_map_at_its_place(run, raster, tmp_path):
    with rasterio.open(raster) as source:
        size = f'rasterXSize="{source.width}" rasterYSize="{source.height}"'
        place = ",".join(map(str, source.transform.to_gdal()))
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}"><SimpleSource><SourceFilename relativeToVRT="1">'
        f"{raster.name}</SourceFilename><SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
        for band in (1, 2, 3)
    )
    virtual = raster.with_name("m.vrt")
    head = f"<SRS>{CRS}</SRS><GeoTransform>{place}</GeoTransform>"
    virtual.write_text(f"<VRTDataset {size}>{head}{bands}</VRTDataset>")
    (path,) = predict(run, [virtual], tmp_path / "out")
    assert path == tmp_path / "out" / "m.tif"
    with rasterio.open(path) as found:
        assert (found.crs, found.transform) == (CRS, TRANSFORM)
    (plain,) = predict(run, [raster], tmp_path / "plain")
    known = read(plain)[0] != load_run(run).manifest.ignore_id
    assert (read(path)[0] == read(plain)[0])[known].all()
