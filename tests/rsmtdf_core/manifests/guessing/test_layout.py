"""Pairs are found in the layouts that people have, and what fits none is told."""

from pathlib import Path

import pytest
from PIL import Image

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.manifests.guessing import guess_layout


def put(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2)).save(root / path)


LAYOUTS = {
    "two folders": (
        ["images/a.jpg", "images/b.jpg", "masks/a.png", "masks/b.png"],
        ("images/{name}.jpg", "masks/{name}.png"),
    ),
    "labels": (
        ["img/a.png", "labels/a.png"],
        ("img/{name}.png", "labels/{name}.png"),
    ),
    "annotations, tail in the name": (
        ["images/a.png", "annotations/a_label.png"],
        ("images/{name}.png", "annotations/{name}_label.png"),
    ),
    "ground truth": (
        ["rgb/a.tif", "gt/a.tif"],
        ("rgb/{name}.tif", "gt/{name}.tif"),
    ),
    "side by side": (
        ["1_sat.jpg", "1_mask.png", "2_sat.jpg", "2_mask.png"],
        ("{name}_sat.jpg", "{name}_mask.png"),
    ),
    "side by side, one tail": (
        ["a.jpg", "a_mask.png"],
        ("{name}.jpg", "{name}_mask.png"),
    ),
    "upper case tails": (
        ["top_2_10_RGB.tif", "top_2_10_label.tif"],
        ("{name}_RGB.tif", "{name}_label.tif"),
    ),
    "splits outside": (
        ["train/images/a.png", "train/masks/a.png", "val/images/b.png", "val/masks/b.png"],
        ("{split}/images/{name}.png", "{split}/masks/{name}.png"),
    ),
    "splits inside": (
        ["images/train/a.png", "masks/train/a.png", "images/test/b.png", "masks/test/b.png"],
        ("images/{split}/{name}.png", "masks/{split}/{name}.png"),
    ),
    "splits and areas": (
        [
            f"{part}/{area}/{kind}/{part}{area}.png"
            for part in ("Train", "Val")
            for area in ("Rural", "Urban")
            for kind in ("images_png", "masks_png")
        ],
        ("{split}/{area}/images_png/{name}.png", "{split}/{area}/masks_png/{name}.png"),
    ),
    "VOC": (
        ["JPEGImages/a.jpg", "SegmentationClass/a.png"],
        ("JPEGImages/{name}.jpg", "SegmentationClass/{name}.png"),
    ),
    "several types": (
        ["images/a.jpg", "images/b.png", "masks/a.png", "masks/b.png"],
        ("images/{name}.*", "masks/{name}.png"),
    ),
    "a folder that all share": (
        ["data set/images/a.png", "data set/masks/a.png"],
        ("data set/images/{name}.png", "data set/masks/{name}.png"),
    ),
    "masks below the images": (
        ["a.png", "b.png", "masks/a.png", "masks/b.png"],
        ("{name}.png", "masks/{name}.png"),
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_common_layouts_are_found(tmp_path, name):
    paths, (images, masks) = LAYOUTS[name]
    put(tmp_path, *paths)
    layout = guess_layout(tmp_path)
    assert (layout.images, layout.masks) == (images, masks)
    assert all(masked for _, masked in layout.pairs)
    assert len(layout.pairs) == len(layout.mask_files) == len(paths) // 2


def test_images_alone_are_a_dataset_too(tmp_path):
    put(tmp_path, "north/a.png", "south/b.png")
    layout = guess_layout(tmp_path)
    assert (layout.images, layout.masks) == ("{area}/{name}.png", None)
    assert layout.area_field == "area"
    assert layout.split_field is None


def test_images_without_a_mask_and_strange_files_are_told(tmp_path):
    put(tmp_path, "images/a.png", "images/b.png", "masks/a.png", "deep/down/thumb.png")
    (tmp_path / "images" / "notes.txt").write_text("no image")
    (tmp_path / "images" / "._a.png").write_bytes(b"hidden")
    layout = guess_layout(tmp_path)
    assert layout.why == "2 images, 1 of them with a mask; 1 image files fit neither pattern"
    assert [masked for _, masked in layout.pairs] == [True, False]


def test_masks_that_the_images_pattern_takes_in_are_refused(tmp_path):
    put(tmp_path, "a.png", "a_mask.png")
    with pytest.raises(DataError, match="takes in masks too, a_mask") as caught:
        guess_layout(tmp_path)
    assert "masks/" in caught.value.remedy


def test_masks_alone_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(MissingFileError, match="no image"):
        guess_layout(tmp_path)
    with pytest.raises(MissingFileError, match="not a folder"):
        guess_layout(tmp_path / "absent")
    put(tmp_path, "masks/a.png")
    with pytest.raises(DataError, match="look like masks"):
        guess_layout(tmp_path)


def test_two_files_for_one_scene_and_braces_in_folders_are_refused(tmp_path):
    put(tmp_path, "x/images/a.png", "x/images/a.jpg", "x/masks/a.png")
    with pytest.raises(DataError, match="two files stand for one scene"):
        guess_layout(tmp_path / "x")
    put(tmp_path, "y/{0}/a.png")
    with pytest.raises(DataError, match="brace"):
        guess_layout(tmp_path / "y")
