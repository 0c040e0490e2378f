"""Pairs are found in common layouts, and folders without a matching layout are refused."""

import os
import re
from pathlib import Path

import pytest
from PIL import Image

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.guessing import guess_layout


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
    "next to each other, one type": (
        ["t0.png", "t0_mask.png", "t1.png", "t1_mask.png"],
        ("{name}.png", "{name}_mask.png"),
    ),
    "next to each other, label": (
        ["t0.tif", "t0_label.tif"],
        ("{name}.tif", "{name}_label.tif"),
    ),
    "Carvana": (
        [
            "train/0_01.jpg",
            "train/0_02.jpg",
            "train_masks/0_01_mask.gif",
            "train_masks/0_02_mask.gif",
        ],
        ("train/{name}.jpg", "train_masks/{name}_mask.gif"),
    ),
    "FloodNet": (
        [
            path
            for split, number in (("train", 1), ("val", 2), ("test", 3))
            for path in (
                f"{split}/{split}-org-img/{number}.jpg",
                f"{split}/{split}-label-img/{number}_lab.png",
            )
        ],
        ("{split}/{split}-org-img/{name}.jpg", "{split}/{split}-label-img/{name}_lab.png"),
    ),
    "Massachusetts": (
        [
            path
            for split in ("train", "valid", "test")
            for path in (f"roads/{split}/sat/{split}_1.tiff", f"roads/{split}/map/{split}_1.tif")
        ],
        ("roads/{split}/sat/{name}.tiff", "roads/{split}/map/{name}.tif"),
    ),
    "folders of splits next to those of their masks": (
        [
            path
            for split in ("train", "val", "test")
            for path in (f"tiff/{split}/{split}.png", f"tiff/{split}_labels/{split}.png")
        ],
        ("tiff/{split}/{name}.png", "tiff/{split}_labels/{name}.png"),
    ),
    "areas in the folders' names": (
        [
            f"{kind}_{area}/{area}{number}.png"
            for area in ("north", "south")
            for kind in ("images", "masks")
            for number in range(2)
        ],
        ("images_{area}/{name}.png", "masks_{area}/{name}.png"),
    ),
    "kinds before the names": (
        ["images/img_1.png", "images/img_2.png", "masks/mask_1.png", "masks/mask_2.png"],
        ("images/img_{name}.png", "masks/mask_{name}.png"),
    ),
    "a word in all names is part of them": (
        ["images/satImage_1.jpg", "masks/satImage_1.png"],
        ("images/{name}.jpg", "masks/{name}.png"),
    ),
    "a folder of images without a known word": (
        ["dop/a.tif", "dop/b.tif", "labels/a.tif", "labels/b.tif"],
        ("dop/{name}.tif", "labels/{name}.tif"),
    ),
    "a word for masks above both": (
        ["labels_v2/images/a.png", "labels_v2/masks/a.png"],
        ("labels_v2/images/{name}.png", "labels_v2/masks/{name}.png"),
    ),
    "iSAID": (
        ["images/P0.png", "Semantic_masks/images/P0_instance_color_RGB.png"],
        ("images/{name}.png", "Semantic_masks/images/{name}_instance_color_RGB.png"),
    ),
    "seven levels": (
        [f"a/b/c/{area}/e/{kind}/g/{area}.png" for area in "xy" for kind in ("images", "masks")],
        ("a/b/c/{area}/e/images/g/{name}.png", "a/b/c/{area}/e/masks/g/{name}.png"),
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
    assert (layout.images, layout.masks) == ((images,), masks)
    assert all(masked for _, masked in layout.pairs)
    assert len(layout.pairs) == len(layout.mask_files) == len(paths) // 2


def test_folders_of_splits_may_be_next_to_others(tmp_path):
    for split in ("train", "val", "unlabeled"):
        put(tmp_path, f"{split}/images/{split}.png")
        put(tmp_path, *([] if split == "unlabeled" else [f"{split}/masks/{split}.png"]))
    assert guess_layout(tmp_path).images == ("{split}/images/{name}.png",)
    put(
        tmp_path / "b",
        *(f"{kind}/{area}/a.png" for area in ("train", "more") for kind in ("images", "masks")),
    )
    assert guess_layout(tmp_path / "b").images == ("images/{area}/{name}.png",)


def test_images_alone_are_a_dataset_too(tmp_path):
    put(tmp_path, "north/a.png", "south/b.png")
    layout = guess_layout(tmp_path)
    assert (layout.images, layout.masks) == (("{area}/{name}.png",), None)
    assert layout.area_field == "area"
    assert layout.split_field is None


def test_cityscapes_has_several_pictures_of_each_mask(tmp_path):
    for split, city in (("train", "aachen"), ("val", "munster")):
        for number in range(2):
            name = f"{split}/{city}/{city}_{number:06}_000019"
            put(tmp_path, f"leftImg8bit/{name}_leftImg8bit.png")
            for kind in ("color", "instanceIds", "labelIds", "labelTrainIds"):
                put(tmp_path, f"gtFine/{name}_gtFine_{kind}.png")
    layout = guess_layout(tmp_path)
    assert layout.images == ("leftImg8bit/{split}/{area}/{name}_leftImg8bit.png",)
    assert layout.masks == "gtFine/{split}/{area}/{name}_gtFine_labelIds.png"
    assert len(layout.mask_files) == 4
    assert "12 other image files are not used" in layout.why


def test_potsdam_shows_the_same_scene_in_other_colors(tmp_path):
    for kind, tail in (
        ("2_Ortho_RGB", "RGB"),
        ("3_Ortho_IRRG", "IRRG"),
        ("4_Ortho_RGBIR", "RGBIR"),
    ):
        put(tmp_path, f"{kind}/top_potsdam_2_10_{tail}.tif")
    put(tmp_path, "5_Labels_all/top_potsdam_2_10_label.tif")
    layout = guess_layout(tmp_path)
    assert layout.images == ("2_Ortho_RGB/{name}_RGB.tif",)
    assert layout.masks == "5_Labels_all/{name}_label.tif"


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path):
    put(tmp_path / "disk", "pictures/a.png", "truth/a.png")
    root = tmp_path / "data"
    root.mkdir()
    (root / "images").symlink_to(tmp_path / "disk" / "pictures")
    (root / "masks").symlink_to(tmp_path / "disk" / "truth")
    (tmp_path / "disk" / "pictures" / "back").symlink_to(root)
    (root / "itself").symlink_to(root / "itself")
    layout = guess_layout(root)
    assert (layout.image_files, layout.mask_files) == ((("images/a.png",),), ("masks/a.png",))


def test_the_sources_of_a_mosaic_are_no_images(tmp_path):
    put(tmp_path, "parts/p0.tif", "parts/p1.tif", "city.tif")
    sources = "".join(
        f'<SourceFilename relativeToVRT="1">parts/p{n}.tif</SourceFilename>' for n in (0, 1)
    )
    (tmp_path / "town.vrt").write_text(f"<VRTDataset>{sources}</VRTDataset>")
    layout = guess_layout(tmp_path)
    assert layout.images == ("{name}.*",)
    assert layout.image_files == (("city.tif",), ("town.vrt",))
    assert len(guess_layout(tmp_path, ["parts/{name}.tif"]).pairs) == 2


def test_names_that_are_not_unicode_identify_scenes(tmp_path):
    latin = os.fsdecode("straße".encode("latin-1")), os.fsdecode("café".encode("latin-1"))
    put(tmp_path, *(f"{latin[0]}/{kind}/{latin[1]}.png" for kind in ("images", "masks")))
    layout = guess_layout(tmp_path)
    assert layout.images == ("{area}/images/{name}.png",)
    assert layout.pairs == (({"area": "straße", "name": "café"}, True),)


def test_the_same_patterns_are_chosen_whatever_the_order_of_the_files(tmp_path):
    put(tmp_path, *(f"{kind}/{name}.png" for kind in ("masks", "images") for name in "ab"))
    put(tmp_path, "masks_color/a.png", "masks_color/b.png")
    assert guess_layout(tmp_path).masks == "masks/{name}.png"


def test_patterns_may_be_given(tmp_path):
    put(tmp_path, "A/a.png", "B/a.png", "C/a.png")
    layout = guess_layout(tmp_path, ["A/{name}.png"], "B/{name}.png")
    assert (layout.image_files, layout.mask_files) == ((("A/a.png",),), ("B/a.png",))
    assert guess_layout(tmp_path, ["A/{name}.png"]).masks is None
    for images, masks, message in (
        ("A/{name}.png", "B/{area}.png", "need the same fields"),
        ("A/a.png", None, "needs a field"),
        ("D/{name}.png", None, "no image matches"),
    ):
        with pytest.raises((DataError, MissingFileError), match=message):
            guess_layout(tmp_path, [images], masks)


REFUSED = {
    "two kinds of masks": (
        ["images/a.png", "masks/a.png", "labels/a.png"],
        "can be paired in several ways, for example with labels/a.png or with masks/a.png",
    ),
    "masks of other names": (
        ["images/a1.png", "images/a2.png", "masks/b1.png", "masks/b2.png"],
        "2 of 4 files are named like masks, for example masks/b1.png",
    ),
    "masks without an image": (
        ["images/a.png", "masks/a.png", "masks/b.png"],
        "1 of 2 masks have no image, for example masks/b.png",
    ),
    "masks named in two ways": (
        ["a.png", "a_mask.png", "b.png", "b_mask.png", "c.png", "c_label.png"],
        "c_label.png looks like a mask of c.png",
    ),
    "masks in two folders": (
        ["images/a.png", "masks/a.png", "images/b.png", "masks/b.png", "images/c.png", "gt/c.png"],
        "gt/c.png looks like a mask of images/c.png",
    ),
    "masks of another type next to their images": (
        ["a.jpg", "a.png", "b.jpg", "b.png"],
        "two files belong to one scene: a.jpg and a.png",
    ),
    "no mask, and images that fit no pattern": (
        ["images/a.png", "images/b.png", "other/down/c.png"],
        "no pattern fits all 3 image files: 1 differ from images/a.png, for example other/down/c.png",
    ),
    "masks in a folder without a known word": (
        ["images/a.png", "painted/a.png"],
        "no pattern fits all 2 image files",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_ambiguous_layouts_are_refused_with_the_flags_that_resolve_them(tmp_path, name):
    paths, message = REFUSED[name]
    put(tmp_path, *paths)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        guess_layout(tmp_path)
    assert "--images" in caught.value.remedy


def test_images_without_a_mask_and_unused_files_are_reported(tmp_path):
    put(tmp_path, "images/a.png", "images/b.png", "masks/a.png", "deep/down/thumb.png")
    (tmp_path / "images" / "notes.txt").write_text("no image")
    (tmp_path / "images" / "._a.png").write_bytes(b"hidden")
    layout = guess_layout(tmp_path)
    assert layout.why == (
        "2 images, 1 of them with a mask; 1 other image files are not used, for example deep/down/thumb.png"
    )
    assert [masked for _, masked in layout.pairs] == [True, False]


def test_masks_alone_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(MissingFileError, match="no image"):
        guess_layout(tmp_path)
    with pytest.raises(MissingFileError, match="not a folder"):
        guess_layout(tmp_path / "absent")
    put(tmp_path, "masks/a.png")
    with pytest.raises(DataError, match="named like masks"):
        guess_layout(tmp_path)


def test_two_files_for_one_scene_are_refused_and_so_are_braces_in_fixed_names(tmp_path):
    put(tmp_path, "x/images/a.png", "x/images/a.jpg", "x/masks/a.png")
    with pytest.raises(DataError, match="two files belong to one scene"):
        guess_layout(tmp_path / "x")
    put(tmp_path, "z/{0}/a.png")
    assert guess_layout(tmp_path / "z").pairs == (({"area": "{0}", "name": "a"}, False),)
    put(tmp_path, "y/images{0}/a.png")
    with pytest.raises(DataError, match="pattern cannot contain"):
        guess_layout(tmp_path / "y")
