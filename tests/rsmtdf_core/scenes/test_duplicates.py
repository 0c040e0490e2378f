"""Copies across splits are found by content, in any format, without false alarms."""

import shutil

import numpy as np
from PIL import Image

from rsmtdf_core.scenes.check import check_dataset
from rsmtdf_core.scenes.duplicates import Content, ContentHash, find_duplicates

from .conftest import make_manifest

SPLITS = {
    "train": {"where": {"name": ["s0", "s1"]}},
    "val": {"where": {"name": ["s2"]}},
    "test": {"where": {"name": ["s3"]}},
}


def problems(root):
    reported = check_dataset(make_manifest(splits=SPLITS), root).problems
    return {problem.file: problem.what for problem in reported}


def test_different_images_are_no_problem(root):
    assert problems(root) == {}


def test_a_copied_file_in_another_split_is_a_problem(root):
    shutil.copy(root / "images" / "s1.png", root / "images" / "s3.png")
    assert problems(root) == {
        "images/s3.png": "in split test, and the same bytes as images/s1.png in train"
    }


def test_the_same_pixels_in_another_format_are_a_problem(root):
    with Image.open(root / "images" / "s0.png") as image:
        image.save(root / "images" / "s2.tif")
    (root / "images" / "s2.png").unlink()
    reported = problems(root)
    assert list(reported) == ["images/s2.tif"]
    assert "the same pixels" in reported["images/s2.tif"]
    assert "images/s0.png in train" in reported["images/s2.tif"]


def test_copies_within_a_split_are_no_matter_of_splits(root):
    shutil.copy(root / "images" / "s0.png", root / "images" / "s1.png")
    assert problems(root) == {}


def test_images_of_the_same_bytes_in_another_shape_differ(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    assert content(tmp_path, (8, 2), [2]) != content(tmp_path, (2, 8), [8])


def test_the_content_is_the_same_however_many_strips_are_read(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    assert content(tmp_path, (4, 8), [8]) == content(tmp_path, (4, 8), [3, 5])


def content(folder, size, strips):
    pixels = np.arange(size[0] * size[1] * 3, dtype=np.uint8).reshape(size[1], size[0], 3)
    content_hash = ContentHash(size)
    for strip in np.split(pixels, np.cumsum(strips)[:-1]):
        content_hash.add(strip)
    return content_hash.of(folder, "a")


def test_a_file_that_two_splits_share_by_name_is_no_duplicate(tmp_path):
    image_content = Content("a.png", "1", "2")
    assert list(find_duplicates({"val": [image_content], "test": [image_content]})) == []
    assert (
        len(list(find_duplicates({"val": [image_content], "test": [Content("b.png", "1", "2")]})))
        == 1
    )
