import numpy as np
import pytest
from PIL import Image

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.manifests.files import image_size, read_image, read_mask

from .conftest import make_manifest

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
        read_image(tmp_path / "a.png")


def test_a_palette_mask_gives_indices_or_colors_as_the_manifest_says(tmp_path):
    mask = Image.fromarray(np.array([[0, 1]], np.uint8), mode=None).convert("P")
    mask.putpalette([9, 8, 7, 1, 2, 3])
    mask.save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png", INDICES).tolist() == [[0, 1]]
    assert read_mask(tmp_path / "a.png", COLORS).tolist() == [[[9, 8, 7], [1, 2, 3]]]


def test_grey_masks_are_colours_where_all_colours_are_grey(tmp_path):
    Image.fromarray(np.array([[0, 255]], np.uint8)).save(tmp_path / "a.png")
    classes = [{"name": "no", "color": "#000000"}, {"name": "yes", "color": "#FFFFFF"}]
    greys = make_manifest(classes=classes, mask_encoding={"encoding": "colors"})
    assert read_mask(tmp_path / "a.png", greys).tolist() == [[[0, 0, 0], [255, 255, 255]]]


@pytest.mark.parametrize(
    ("mode", "manifest", "remedy"), [("RGB", INDICES, "colors"), ("L", COLORS, "indices")]
)
def test_a_mask_of_the_other_kind_is_told_with_the_edit(tmp_path, mode, manifest, remedy):
    Image.new(mode, (2, 2)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="the manifest expects a mask with") as caught:
        read_mask(tmp_path / "a.png", manifest)
    assert remedy in caught.value.remedy


def test_missing_and_cut_off_files_are_told(tmp_path):
    with pytest.raises(MissingFileError):
        read_image(tmp_path / "a.png")
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot be read"):
        read_image(tmp_path / "a.png")
