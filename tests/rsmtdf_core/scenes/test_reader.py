import pickle

import numpy as np
import pytest
from PIL import Image

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.find import find_scenes
from rsmtdf_core.scenes.images.gdal_decoder import GdalDecoder
from rsmtdf_core.scenes.reader import SceneReader
from tests.rasters import ramp, write_tiff

from .conftest import make_manifest


def reader_of(root, cache_bytes=2**20, **changes):
    reader = SceneReader(
        find_scenes(make_manifest(splits={"train": {}}, **changes), root), cache_bytes
    )
    return reader, reader.dataset.splits["train"]


def test_images_and_masks_are_read_as_they_are(root):
    reader, scenes = reader_of(root)
    image, mask = reader.image(scenes[3]), reader.mask(scenes[3])
    assert image.shape == (6, 8, 3)
    assert image[0, 5].tolist() == [30, 5, 30]
    assert mask[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_windows_are_cut_from_their_raster(root):
    reader, scenes = reader_of(root, window={"size": 5, "stride": 5})
    scene = next(scene for scene in scenes if scene.id == "s2@5,0")
    assert reader.image(scene)[0, :, 1].tolist() == [5, 6, 7]
    assert reader.mask(scene).tolist() == [[1, 1, 1]] * 5


def test_kept_files_are_not_read_again_and_the_oldest_leave_first(root):
    image_bytes = 6 * 8 * 3
    reader, scenes = reader_of(root, cache_bytes=2 * image_bytes)
    for scene in (scenes[0], scenes[1], scenes[0], scenes[2]):
        reader.image(scene)
    for path in (root / "images").iterdir():
        path.unlink()
    assert reader.image(scenes[0])[0, 0, 0] == 0
    assert reader.image(scenes[2])[0, 0, 0] == 20
    with pytest.raises(MissingFileError):
        reader.image(scenes[1])


@pytest.mark.parametrize(
    ("profile", "cache_bytes", "parts"),
    [
        ({"tiled": True}, 2**20, True),
        ({"tiled": False, "blockysize": 8}, 2**20, False),
        ({"tiled": False, "blockysize": 8}, 96 * 160 * 3, True),
        ({"tiled": False, "blockysize": 96, "compress": "deflate"}, 96 * 160 * 3, False),
    ],
)
def test_strips_of_a_large_raster_are_read_alone(
    tmp_path, monkeypatch, profile, cache_bytes, parts
):
    values = ramp(3, 96, 160, np.uint8)
    write_tiff(tmp_path / "a.tif", values, **profile)
    window = {"size": 32, "stride": 32}
    changes = {"images": "{name}.tif", "masks": None, "window": window}
    reader, scenes = reader_of(tmp_path, cache_bytes, **changes)
    read = []
    decoded = GdalDecoder.read
    monkeypatch.setattr(
        GdalDecoder,
        "read",
        lambda self, bands, part: read.append(part) or decoded(self, bands, part),
    )
    scene = next(scene for scene in scenes if scene.id == "a@64,32")
    expected = values[:, 32:64, 64:96].transpose(1, 2, 0)
    np.testing.assert_array_equal(reader.image(scene), expected)
    assert read == [(32, 64, 32, 32) if parts else (0, 0, 96, 160)]


def test_arrays_shared_with_the_cache_are_read_only(root):
    reader, scenes = reader_of(root)
    with pytest.raises(ValueError, match="read-only"):
        reader.image(scenes[0])[0, 0] = 1


def test_a_reader_travels_without_its_pixels(root):
    reader, scenes = reader_of(root)
    empty = len(pickle.dumps(reader))
    image = reader.image(scenes[0])
    assert len(pickle.dumps(reader)) == empty
    assert np.array_equal(pickle.loads(pickle.dumps(reader)).image(scenes[0]), image)


def test_unknown_ids_are_refused_with_their_counts(root):
    reader, scenes = reader_of(root)
    Image.fromarray(np.full((6, 8), 9, np.uint8)).save(root / "masks" / "s0.png")
    with pytest.raises(DataError, match=r"no class has 9 \(48 px\)") as caught:
        reader.mask(scenes[0])
    assert caught.value.where.endswith("masks/s0.png")


def test_files_of_another_size_are_refused(root):
    reader, scenes = reader_of(root)
    Image.fromarray(np.ones((6, 7), np.uint8)).save(root / "masks" / "s0.png")
    with pytest.raises(DataError, match="the mask has 7 x 6 px, its image 8 x 6 px"):
        reader.mask(scenes[0])
    Image.new("RGB", (9, 6)).save(root / "images" / "s0.png")
    with pytest.raises(DataError, match="expected 8 x 6 px, found 9 x 6 px"):
        SceneReader(reader.dataset).image(scenes[0])
