"""Scenes whose bands are in several files, named by the patterns of a manifest."""

import numpy as np
import pytest

from rsmtdf_core.errors import ConfigError, DataError, MissingFileError
from rsmtdf_core.scenes.check import check_dataset
from rsmtdf_core.scenes.find import find_pairs, find_scenes, with_digests
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.validation import validate
from tests.rasters import TRANSFORM, halved, ramp, rasterio, write_tiff

from .conftest import make_manifest, manifest_values

NAMES = ("B04", "B03", "B02", "B11")
PATTERNS = [f"{{scene}}/{name}.tif" for name in NAMES]
BANDS = {"indices": [1, 2, 3, 4], "scale": [0, 2000]}
COARSE = TRANSFORM @ rasterio.Affine.scale(2)


def band_manifest(**changes) -> Manifest:
    return make_manifest(
        **{
            "images": PATTERNS,
            "masks": "{scene}/labels.tif",
            "bands": BANDS,
            "splits": {"train": {}},
            **changes,
        }
    )


def write_scene(folder, offset: int) -> None:
    folder.mkdir()
    for number, name in enumerate(NAMES):
        values = ramp(1, 40, 60) + offset + 100 * number
        profile = {"nodata": 0}
        if name == "B11":
            values, profile["transform"] = values[:, ::2, ::2], COARSE
        write_tiff(folder / f"{name}.tif", values.astype(np.uint16), **profile)
    write_tiff(folder / "labels.tif", np.ones((1, 40, 60), np.uint8))


@pytest.fixture
def bands(tmp_path):
    for offset, scene in enumerate(("x", "y")):
        write_scene(tmp_path / scene, 10 * offset)
    return tmp_path


def digests(root, **changes) -> dict[str, str]:
    dataset = find_scenes(band_manifest(**changes), root)
    return {scene.id: scene.sha256 for scene in with_digests(dataset, dataset.splits["train"])}


def test_a_scene_has_the_bands_of_its_files(bands):
    dataset = find_scenes(band_manifest(), bands)
    reader = SceneReader(dataset)
    x, y = dataset.splits["train"]
    assert (x.id, x.image, x.files) == ("x", "x/B04.tif", tuple(f"x/{n}.tif" for n in NAMES))
    values = ramp(1, 40, 60)[0] + 10.0
    assert np.array_equal(reader.image(y)[..., 0], np.rint(values / 2000 * 255))
    assert np.array_equal(reader.image(y)[..., 2], np.rint((values + 200) / 2000 * 255))
    assert reader.image(y).shape == (40, 60, 4)
    assert (reader.mask(y) == 0).all()


def test_windows_are_those_of_the_whole_scene(bands):
    whole = find_scenes(band_manifest(), bands)
    cut = find_scenes(band_manifest(window={"size": 16, "stride": 16}), bands)
    reader, of_windows = SceneReader(whole), SceneReader(cut)
    x = whole.splits["train"][0]
    for scene in cut.splits["train"][:12]:
        left, top = scene.window.left, scene.window.top
        rows, columns = slice(top, top + scene.height), slice(left, left + scene.width)
        assert np.array_equal(of_windows.image(scene), reader.image(x)[rows, columns])


def test_a_pixel_that_a_band_misses_is_black_and_ignored(bands):
    with rasterio.open(bands / "x" / "B03.tif", "r+") as dataset:
        dataset.write(np.zeros((1, 3, 5), np.uint16), window=((7, 10), (20, 25)))
    dataset = find_scenes(band_manifest(), bands)
    reader, scene = SceneReader(dataset), dataset.splits["train"][0]
    ignored = reader.mask(scene) == 255
    assert ignored[7:10, 20:25].all()
    assert ignored.sum() == 15
    assert (reader.image(scene)[ignored] == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_change_in_any_file_changes_the_scene(bands, name):
    before = digests(bands)
    path = bands / "y" / f"{name}.tif"
    with rasterio.open(path, "r+") as dataset:
        values = dataset.read()
        values[0, -1, -1] += 1
        dataset.write(values)
    after = digests(bands)
    assert after["x"] == before["x"]
    assert after["y"] != before["y"]


def test_the_order_of_the_files_is_part_of_a_scene(bands):
    assert digests(bands) != digests(bands, images=PATTERNS[1::-1] + PATTERNS[2:])


def test_a_missing_file_names_its_pattern_and_scene(bands):
    (bands / "y" / "B02.tif").unlink()
    with pytest.raises(MissingFileError, match=r"'\{scene\}/B02.tif' is missing for the scene y"):
        find_pairs(band_manifest(), bands)


def test_a_missing_first_file_is_noticed_too(bands):
    (bands / "y" / "B04.tif").unlink()
    with pytest.raises(MissingFileError, match=r"B04.tif' is missing for the scene y"):
        find_pairs(band_manifest(), bands)


def test_a_check_names_the_damaged_file_of_a_scene(bands):
    halved(bands / "x" / "B02.tif")
    write_tiff(bands / "y" / "B11.tif", ramp(1, 20, 30), crs="EPSG:32641", transform=COARSE)
    problems = check_dataset(band_manifest(), bands).problems
    assert [problem.file for problem in problems] == ["x/B02.tif", "y/B11.tif"]
    assert "same reference system and extent" in problems[1].what


def test_files_in_one_folder_are_not_taken_for_masks(tmp_path):
    for name in ("B04", "B03"):
        write_tiff(tmp_path / f"a_{name}.tif", ramp(1, 8, 9))
    write_tiff(tmp_path / "a.tif", np.ones((1, 8, 9), np.uint8))
    manifest = band_manifest(
        images=["{scene}_B04.tif", "{scene}_B03.tif"],
        masks="{scene}.tif",
        bands={"indices": [1, 2, 2], "scale": [0, 3000]},
    )
    [pair] = find_pairs(manifest, tmp_path)
    assert (pair.files, pair.mask) == (("a_B04.tif", "a_B03.tif"), "a.tif")
    assert not check_dataset(manifest, tmp_path).problems


def test_a_coarser_mask_gives_its_nearest_class(bands):
    coarse = np.random.default_rng(0).integers(1, 3, (1, 20, 30), np.uint8)
    write_tiff(bands / "x" / "labels.tif", coarse, transform=COARSE)
    dataset = find_scenes(band_manifest(window={"size": 32, "stride": 32}), bands)
    reader, first = SceneReader(dataset), dataset.splits["train"][1]
    expected = np.repeat(np.repeat(coarse[0] - 1, 2, 0), 2, 1)
    assert np.array_equal(reader.mask(first), expected[:32, 32:])
    assert not check_dataset(band_manifest(), bands).problems


def test_a_mask_of_another_extent_is_refused(bands):
    write_tiff(bands / "x" / "labels.tif", np.ones((1, 20, 30), np.uint8))
    dataset = find_scenes(band_manifest(), bands)
    with pytest.raises(DataError, match="the same size"):
        SceneReader(dataset).mask(dataset.splits["train"][0])


def test_a_scene_of_two_bands_asks_for_a_choice(bands):
    with pytest.raises(DataError, match="expected one band, or at least three, found 2"):
        find_scenes(band_manifest(images=PATTERNS[:2], bands=None), bands)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (["{scene}/a.tif", "{name}/b.tif"], "need the same fields"),
        (["{scene}/a.tif", "{scene}/a.tif"], "twice"),
        (["{scene}/a.tif"], "images"),
        ([], "images"),
        (["{scene}/a.tif", "../{scene}.tif"], "relative to the data root"),
        (["{scene}/a.tif", 3], "images"),
    ],
)
def test_bad_patterns_are_refused(images, message):
    with pytest.raises(ConfigError, match=message):
        validate(Manifest, manifest_values(images=images), "m.yaml")


def test_a_single_pattern_is_kept_as_before():
    assert make_manifest().model_dump(mode="json")["images"] == "images/{name}.*"
    kept = Manifest.model_validate(band_manifest().model_dump(mode="json"))
    assert kept.image_patterns == tuple(PATTERNS)
