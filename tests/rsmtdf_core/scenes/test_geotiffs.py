"""Scenes that are GeoTIFFs, or windows of them: bands, nodata, and no more read than is asked for."""

import shutil

import numpy as np
import pytest
from PIL import Image
from rasterio.warp import transform_bounds

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.fingerprints import file_sha256
from rsmtdf_core.scenes.check import check_dataset
from rsmtdf_core.scenes.find import find_scenes, with_digests
from rsmtdf_core.scenes.images import open_image
from rsmtdf_core.scenes.images.gdal_decoder import GdalDecoder
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.reader import SceneReader
from tests.rasters import CRS, halved, ramp, rasterio, write_tiff

from .conftest import make_manifest

BANDS = {"indices": [4, 3, 2], "scale": [[4000, 4255], [3000, 3255], [2000, 2255]]}
NODATA = 65535


@pytest.fixture
def rasters(tmp_path):
    """A raster of 4 bands of 16 bits, 20 x 15 px, its upper left 3 x 2 px without data, and its mask."""
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    values = ramp(4, 15, 20)
    values[:, :2, :3] = NODATA
    write_tiff(tmp_path / "images" / "a.tif", values, nodata=NODATA)
    write_tiff(tmp_path / "masks" / "a.tif", np.ones((1, 15, 20), np.uint8))
    return tmp_path


def geo_manifest(**changes) -> Manifest:
    return make_manifest(splits={"train": {}}, **({"bands": BANDS} | changes))


def reader_of(root, **changes):
    reader = SceneReader(find_scenes(geo_manifest(**changes), root))
    return reader, {scene.id: scene for scene in reader.dataset.splits["train"]}


def test_a_scene_has_the_chosen_bands_as_rgb(rasters):
    reader, scenes = reader_of(rasters)
    image = reader.image(scenes["a"])
    assert image.shape == (15, 20, 3)
    assert image[14, 5].tolist() == [145] * 3


def test_pixels_without_data_are_ignored_and_black(rasters):
    reader, scenes = reader_of(rasters)
    ignored = reader.mask(scenes["a"]) == 255
    assert ignored[:2, :3].all()
    assert ignored.sum() == 6
    assert (reader.image(scenes["a"])[:2, :3] == 0).all()


def test_a_window_reads_that_window_alone(rasters, monkeypatch):
    values = ramp(4, 20, 130)
    values[:, :2, :3] = NODATA
    write_tiff(rasters / "images" / "a.tif", values, nodata=NODATA)
    write_tiff(rasters / "masks" / "a.tif", np.ones((1, 20, 130), np.uint8))
    reader, scenes = reader_of(rasters, window={"size": 8, "stride": 8})
    read = []

    def recording(decoder, bands, part):
        read.append(part)
        return original(decoder, bands, part)

    original = GdalDecoder.read
    monkeypatch.setattr(GdalDecoder, "read", recording)
    image, mask = reader.image(scenes["a@8,0"]), reader.mask(scenes["a@0,0"])
    assert read == [(0, 8, 8, 8), (0, 0, 8, 8), (0, 0, 8, 8)]
    assert image[3, 1].tolist() == [39] * 3
    assert (mask == 255).sum() == 6


def test_the_choice_of_bands_is_part_of_a_scenes_digest(rasters):
    def digest(**changes):
        dataset = find_scenes(geo_manifest(**changes), rasters)
        return with_digests(dataset, dataset.splits["train"])[0].sha256

    others = [BANDS | {"indices": [1, 3, 2]}, BANDS | {"scale": [0, 5000]}]
    digests = [digest(), *(digest(bands=bands) for bands in others)]
    assert len({*digests, file_sha256(rasters / "images" / "a.tif")}) == 4
    assert digest() == digests[0]


def test_without_bands_a_digest_is_that_of_the_file(root):
    dataset = find_scenes(make_manifest(splits={"train": {}}), root)
    (first, *_) = with_digests(dataset, dataset.splits["train"])
    assert first.sha256 == file_sha256(root / first.image)


def test_a_manifest_without_bands_is_written_as_before():
    assert "bands" not in make_manifest().model_dump(mode="json")
    kept = Manifest.model_validate(geo_manifest().model_dump(mode="json"))
    assert kept == geo_manifest()


def test_a_tiff_that_pillow_cannot_read_needs_no_bands(tmp_path):
    (tmp_path / "images").mkdir()
    values = ramp(5, 6, 8, np.uint8)
    write_tiff(tmp_path / "images" / "a.tif", values)
    reader, scenes = reader_of(tmp_path, masks=None, bands=None)
    assert (reader.image(scenes["a"]) == np.moveaxis(values[:3], 0, 2)).all()


def test_a_png_mask_serves_a_raster(rasters):
    (rasters / "masks" / "a.tif").unlink()
    Image.fromarray(np.full((15, 20), 2, np.uint8)).save(rasters / "masks" / "a.png")
    reader, scenes = reader_of(rasters, window={"size": 8, "stride": 8})
    assert (reader.mask(scenes["a@8,8"]) == 1).all()
    assert reader.mask(scenes["a@8,8"]).shape == (7, 8)


def test_a_check_counts_pixels_in_strips_as_in_one_piece(rasters, monkeypatch):
    monkeypatch.setattr("rsmtdf_core.scenes.files._STRIP", 4)
    result = check_dataset(geo_manifest(), rasters)
    assert not result.problems
    assert result.splits[0].pixels == {"low": 294, "high": 0}
    assert result.splits[0].ignored == 6


def spoil_mask_bands(root):
    write_tiff(root / "masks" / "a.tif", np.ones((2, 15, 20), np.uint8))


def spoil_mask_kind(root):
    write_tiff(root / "masks" / "a.tif", np.full((1, 15, 20), 0.5, np.float32))


def spoil_mask_size(root):
    write_tiff(root / "masks" / "a.tif", np.ones((1, 15, 21), np.uint8))


def spoil_mask_ids(root):
    write_tiff(root / "masks" / "a.tif", np.full((1, 15, 20), 7, np.uint8))


def spoil_bands(root):
    write_tiff(root / "images" / "a.tif", ramp(3, 15, 20))


def spoil_data(root):
    write_tiff(root / "images" / "a.tif", np.zeros((4, 15, 20), np.uint16), nodata=0)


def spoil_end(root):
    noise = np.random.default_rng(0).integers(0, 9, (4, 200, 200), np.uint16)
    halved(write_tiff(root / "images" / "a.tif", noise))


def spoil_all(root):
    (root / "images" / "a.tif").write_bytes(b"II*\0 not a raster")


@pytest.mark.parametrize(
    ("spoil", "file", "message"),
    [
        (spoil_mask_bands, "masks/a.tif", "one band of class indices, found 2 bands of uint8"),
        (spoil_mask_kind, "masks/a.tif", "numbers that are not whole, such as 0.5"),
        (spoil_mask_size, "masks/a.tif", "the mask has 21 x 15 px, its image 20 x 15 px"),
        (spoil_mask_ids, "masks/a.tif", "no class has 7"),
        (spoil_bands, "images/a.tif", "expected band 4, found 3 bands"),
        (spoil_data, "images/a.tif", "every pixel is nodata"),
        (spoil_end, "images/a.tif", "cannot be read"),
        (spoil_all, "images/a.tif", "cannot be read"),
    ],
)
def test_a_check_names_each_wrong_file(rasters, spoil, file, message):
    spoil(rasters)
    result = check_dataset(geo_manifest(), rasters)
    assert any(problem.file == file and message in problem.what for problem in result.problems), (
        result.problems
    )


def test_sixteen_bits_without_a_scale_end_before_any_pixel_is_used(rasters):
    with pytest.raises(DataError, match="expected bands of 8 bits, found uint16") as caught:
        find_scenes(geo_manifest(bands={"indices": [4, 3, 2]}), rasters)
    assert caught.value.where.endswith("images/a.tif")


def test_a_raster_that_changed_its_size_is_refused(rasters):
    whole, scenes = reader_of(rasters)
    parts, windows = reader_of(rasters, window={"size": 8, "stride": 8})
    write_tiff(rasters / "images" / "a.tif", ramp(4, 10, 20))
    with pytest.raises(DataError, match="expected 20 x 15 px, found 20 x 10 px"):
        whole.image(scenes["a"])
    with pytest.raises(DataError, match="exceeds the image's 20 x 10 px"):
        parts.image(windows["a@0,8"])
    shutil.rmtree(rasters / "images")
    parts = SceneReader(parts.dataset)
    with pytest.raises(MissingFileError, match="missing"):
        parts.image(windows["a@8,0"])


def test_a_mask_at_other_coordinates_is_named(rasters):
    moved = rasterio.Affine(0.5, 0, 400_500, 0, -0.5, 2_800_000)
    write_tiff(rasters / "masks" / "a.tif", np.ones((1, 15, 20), np.uint8), transform=moved)
    (problem,) = check_dataset(geo_manifest(), rasters).problems
    assert problem.file == "masks/a.tif"
    assert "do not overlap" in problem.what


@pytest.mark.parametrize("crs", ["EPSG:32639", "EPSG:4326"])
def test_the_same_coordinates_in_another_reference_system_are_no_problem(rasters, crs):
    with rasterio.open(rasters / "images" / "a.tif") as image:
        west, south, east, north = transform_bounds(CRS, crs, *image.bounds)
    near = rasterio.Affine((east - west) / 20, 0, west, 0, (south - north) / 15, north)
    write_tiff(rasters / "masks" / "a.tif", np.ones((1, 15, 20), np.uint8), crs=crs, transform=near)
    assert not check_dataset(geo_manifest(), rasters).problems


@pytest.mark.parametrize("window", [None, {"size": 8, "stride": 8}])
@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_a_pair_is_opened_once_for_its_image_and_its_mask(rasters, monkeypatch, suffix, window):
    if suffix == ".png":
        for folder, values in (
            ("images", ramp(3, 15, 20, np.uint8)),
            ("masks", np.ones((1, 15, 20))),
        ):
            (rasters / folder / "a.tif").unlink()
            pixels = np.moveaxis(values.astype(np.uint8), 0, 2).squeeze()
            Image.fromarray(pixels).save(rasters / folder / "a.png")
    bands = {"bands": None} if suffix == ".png" else {}
    reader, scenes = reader_of(rasters, window=window, **bands)
    opened = []

    def recording(path):
        opened.append(path.relative_to(rasters).as_posix())
        return open_image(path)

    monkeypatch.setattr("rsmtdf_core.scenes.rasters.open_image", recording)
    monkeypatch.setattr("rsmtdf_core.scenes.files.open_image", recording)
    scene = scenes["a@8,0" if window else "a"]
    reader.image(scene)
    reader.mask(scene)
    reader.image(scene)
    assert opened == [f"images/a{suffix}", f"masks/a{suffix}"]
