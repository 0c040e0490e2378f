import re

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.data.commands import app
from pipeline.demo.scenes import draw_scenes
from rsmtdf_core.errors import ConfigError, RsmtdfError
from rsmtdf_core.scenes.find import find_pairs
from rsmtdf_core.scenes.manifest import load_manifest
from rsmtdf_core.scenes.members import split_pairs


@pytest.fixture
def root(tmp_path):
    draw_scenes(tmp_path, 10, 64, seed=0)
    return tmp_path


def check(*arguments):
    return CliRunner().invoke(app, ["check", *map(str, arguments)], env={"COLUMNS": "120"})


def test_a_sound_dataset_ends_with_status_0_and_its_counts(root):
    result = check("synthetic", "--root", root)
    assert result.exit_code == 0, result.output
    assert "no problems found" in result.output
    for word in ("train", "val", "test", "water", "building", "ignored"):
        assert word in result.output


def test_a_wrong_file_is_named_and_ends_with_status_1(root):
    (root / "masks" / "0003.png").write_bytes(b"no image")
    result = check("synthetic", "--root", root)
    assert result.exit_code == 1
    assert "masks/0003.png" in result.output
    assert re.search(r"\b1 problem\b", result.output)


def test_a_users_mistake_reaches_the_main_command(root):
    assert isinstance(check("syntetic", "--root", root).exception, ConfigError)


def test_the_root_is_needed():
    assert check("synthetic").exit_code == 2


def test_pictures_and_unlabeled_images_are_reported(root, tmp_path):
    manifest = load_manifest("synthetic")
    train = split_pairs(manifest, find_pairs(manifest, root))["train"]
    (root / train[0].mask).unlink()
    result = check("synthetic", "--root", root, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert f"without labels in train: 1 image: {train[0].image}" in result.output
    assert (tmp_path / "out" / "samples.png").is_file()


def test_copies_in_two_splits_end_with_status_1(root):
    images = sorted((root / "images").iterdir())
    for image in images:
        image.write_bytes(images[0].read_bytes())
    result = check("synthetic", "--root", root)
    assert result.exit_code == 1
    assert "the same bytes as" in result.output


WITH_LISTS = """name: mine
title: Mine
classes: [{name: ground, color: "#000000"}]
images: images/{name}.png
masks: MASKS
mask_encoding: {encoding: indices}
splits: {train: {scenes: train.txt}}
"""


def with_lists(
    folder, masks="masks/{name}.png", names=b"\xef\xbb\xbfa b\r\n", encoding="utf-8-sig"
):
    """A manifest as an editor on Windows writes it, its list and two scenes, in a folder with a space."""
    root = folder / "my data"
    for kind, mode in (("images", "RGB"), ("masks", "L")):
        (root / kind).mkdir(parents=True)
        for at, name in enumerate(("a b", "c d")):
            Image.new(mode, (8, 6), at if mode == "RGB" else 0).save(root / kind / f"{name}.png")
    if names is not None:
        (root / "train.txt").write_bytes(names)
    text = WITH_LISTS.replace("MASKS", masks).replace("\n", "\r\n")
    (root / "my manifest.yaml").write_bytes(text.encode(encoding))
    return root / "my manifest.yaml", root


def test_line_ends_byte_order_marks_and_spaces_make_no_difference(tmp_path):
    path, root = with_lists(tmp_path)
    result = check(path, "--root", root)
    assert result.exit_code == 0, result.output
    assert "1 images are in no split" in result.output


@pytest.mark.parametrize(
    ("changes", "message", "file"),
    [
        ({"encoding": "utf-16"}, "cannot be read", "my manifest.yaml"),
        ({"masks": "../masks/{name}.png"}, "relative to the data root", "my manifest.yaml"),
        ({"masks": "/masks/{name}.png"}, "relative to the data root", "my manifest.yaml"),
        ({"masks": "masks\\{name}.png"}, "relative to the data root", "my manifest.yaml"),
        ({"names": None}, "the list is missing", "train.txt"),
        ({"names": b"a b\na b\n"}, "'a b' is already in line 1", "train.txt, line 2"),
        ({"names": b"a b\nx y\n"}, "missing, the first is x y", "manifest mine"),
    ],
    ids=["UTF-16", "escape", "absolute", "backslash", "no list", "duplicate id", "no such scene"],
)
def test_wrong_manifests_and_lists_are_named(tmp_path, changes, message, file):
    path, root = with_lists(tmp_path, **changes)
    error = check(path, "--root", root).exception
    assert isinstance(error, RsmtdfError)
    assert message in error.what
    assert file in error.where


@pytest.mark.parametrize(
    ("file", "mode", "message"),
    [
        ("masks/0003.png", "LA", "expects a mask with colors"),
        ("masks/0003.png", "L", "expects a mask with colors"),
        ("images/0003.png", "I;16", "expected bands of 8 bits"),
    ],
)
def test_files_of_another_kind_are_named(root, file, mode, message):
    Image.new(mode, (64, 64)).save(root / file)
    result = check("synthetic", "--root", root)
    assert result.exit_code == 1
    assert file in result.output
    assert message in " ".join(result.output.split())


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_a_truncated_png_is_named(root, kind):
    path = root / kind / "0003.png"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    result = check("synthetic", "--root", root)
    assert result.exit_code == 1
    assert f"{kind}/0003.png" in result.output
    assert "cannot be read" in result.output
