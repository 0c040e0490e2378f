import tracemalloc

import numpy as np
import pytest
from PIL import Image

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.files import image_size, open_mask, read_image, strips
from rsmtdf_core.scenes.rasters import open_raster

from .conftest import make_manifest


def read_mask(path, manifest):
    with open_mask(path, manifest) as mask:
        return mask.raw()[0]


INDICES = make_manifest()
COLORS = make_manifest(mask_encoding={"encoding": "colors"})


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_images_of_eight_bits_become_rgb(tmp_path, mode):
    Image.new(mode, (5, 4)).save(tmp_path / "a.png")
    assert image_size(tmp_path / "a.png") == (5, 4)
    image = read_image(tmp_path / "a.png")
    assert image.shape == (4, 5, 3)
    assert image.dtype == np.uint8


def test_images_of_more_bits_are_refused_not_clipped(tmp_path):
    Image.fromarray(np.full((4, 4), 3000, np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="8 bits"):
        image_size(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == 3000).all()


def test_a_palette_mask_has_indices_or_colors_by_the_manifests_encoding(tmp_path):
    mask = Image.fromarray(np.array([[0, 1]], np.uint8), mode=None).convert("P")
    mask.putpalette([9, 8, 7, 1, 2, 3])
    mask.save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png", INDICES).tolist() == [[0, 1]]
    assert read_mask(tmp_path / "a.png", COLORS).tolist() == [[[9, 8, 7], [1, 2, 3]]]


def test_gray_masks_are_colors_if_all_colors_are_gray(tmp_path):
    Image.fromarray(np.array([[0, 255]], np.uint8)).save(tmp_path / "a.png")
    classes = [{"name": "no", "color": "#000000"}, {"name": "yes", "color": "#FFFFFF"}]
    grays = make_manifest(classes=classes, mask_encoding={"encoding": "colors"})
    assert read_mask(tmp_path / "a.png", grays).tolist() == [[[0, 0, 0], [255, 255, 255]]]


@pytest.mark.parametrize(
    ("mode", "manifest", "remedy"), [("RGB", INDICES, "colors"), ("L", COLORS, "indices")]
)
def test_a_mask_of_the_other_kind_is_refused_with_the_edit(tmp_path, mode, manifest, remedy):
    Image.new(mode, (2, 2)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="the manifest expects a mask with") as caught:
        read_mask(tmp_path / "a.png", manifest)
    assert remedy in caught.value.remedy


def test_missing_and_truncated_files_are_refused(tmp_path):
    with pytest.raises(MissingFileError):
        read_image(tmp_path / "a.png")
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot be read"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
def test_files_are_read_by_parts_as_in_one_piece(tmp_path, monkeypatch, mode):
    draws = np.random.default_rng(0)
    kind, bands = (
        (np.uint16, ()) if mode == "I;16" else (np.uint8, (4,) if mode == "RGBA" else (3,))
    )
    pixels = draws.integers(1, 256, (11, 7, *bands)).astype(kind)
    image = Image.fromarray(pixels)
    (image if mode == "I;16" else image.convert(mode)).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as opened:
        assert opened.mode == mode
        raw, rgb = np.asarray(opened), np.asarray(opened.convert("RGB"))
    monkeypatch.setattr("rsmtdf_core.scenes.images.pillow_decoder._ROWS", 2)
    monkeypatch.setattr("rsmtdf_core.scenes.files._STRIP", 4)
    parts = [*strips((7, 11)), (2, 3, 5, 4)]
    if mode != "I;16":
        with open_raster(tmp_path / "a.png") as raster:
            for top, left, height, width in parts:
                part_pixels, valid = raster.read(top, left, height, width)
                assert np.array_equal(part_pixels, rgb[top : top + height, left : left + width])
                assert valid.all()
        assert np.array_equal(read_image(tmp_path / "a.png"), rgb)
    if not bands or mode in ("1", "L", "P"):
        with open_mask(tmp_path / "a.png", INDICES) as mask:
            for top, left, height, width in parts:
                part_pixels, _ = mask.raw((top, left, height, width))
                assert np.array_equal(part_pixels, raw[top : top + height, left : left + width])
                assert part_pixels.dtype == (np.uint8 if raw.dtype == bool else raw.dtype)


def test_a_large_image_is_not_converted_in_one_piece(tmp_path):
    Image.new("RGB", (300, 8000)).save(tmp_path / "a.png")
    tracemalloc.start()
    pixels = read_image(tmp_path / "a.png")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5 * pixels.nbytes
