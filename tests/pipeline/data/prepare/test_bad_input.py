"""Faulty source files are refused by name, before any file is written."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rsmtdf_core.scenes.find import find_scenes
from rsmtdf_core.scenes.manifest import load_manifest
from tests.pipeline.data.prepare.refusals import IMAGE, MASK, SIZE, cut_off, refused, run, zipped

pytestmark = pytest.mark.usefixtures("small_benchmarks")


def painted(mode, size, value):
    return lambda path: Image.new(mode, size, value).save(path)


def truncated(*bands):
    """Noise, so that cutting the file off loses pixels."""

    def spoil(path):
        pixels = np.random.default_rng(0).integers(0, 8, (SIZE, SIZE, *bands)).astype(np.uint8)
        Image.fromarray(pixels).save(path)
        cut_off(path)

    return spoil


def sixteen_bits(path):
    Image.fromarray(np.full((SIZE, SIZE), 3000, np.uint16)).save(path)


CASES = [
    ("truncated image", IMAGE, truncated(3), "image"),
    ("truncated mask", MASK, truncated(3), "image"),
    ("empty file", MASK, lambda path: path.write_bytes(b""), "cannot be read"),
    ("text for an image", IMAGE, lambda path: path.write_text("404"), "cannot be read"),
    ("mask of ids", MASK, painted("L", (SIZE, SIZE), 1), "add --masks ids"),
    ("mask of two bands", MASK, painted("LA", (SIZE, SIZE), (1, 1)), "expects a mask with colors"),
    ("folder for an image", IMAGE, lambda path: (path.unlink(), path.mkdir()), "Is a directory"),
    ("image too small", IMAGE, painted("RGB", (500, SIZE), 1), "expected 600 x 600 px, found 500"),
    ("mask too small", MASK, painted("RGB", (SIZE, 500), 1), "found 600 x 500 px"),
    ("mask missing", MASK, Path.unlink, "its mask train/1_mask.png is missing"),
    ("image missing", IMAGE, Path.unlink, "its image train/1_sat.jpg is missing"),
]


@pytest.mark.parametrize("crops", [False, True], ids=["windows", "crops"])
@pytest.mark.parametrize(
    ("file", "spoil", "message"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_wrong_file_is_named(root, tmp_path, file, spoil, message, crops):
    spoil(root / file.format(1))
    refused("deepglobe", root, tmp_path / "to", message, file.format(1), crops=crops)


@pytest.mark.parametrize("crops", [False, True], ids=["windows", "crops"])
@pytest.mark.parametrize(
    ("kind", "spoil", "message"),
    [
        ("masks", painted("RGB", (SIZE, SIZE), "#00FF00"), "one band of class indices"),
        ("masks", painted("LA", (SIZE, SIZE), (1, 1)), "one band of class indices"),
        ("masks", painted("L", (SIZE, SIZE), 8), "no class has 8 (360000 px)"),
        ("masks", truncated(), "cannot be read"),
        ("images", truncated(3), "cannot be read"),
        ("images", sixteen_bits, "expected bands of 8 bits"),
    ],
    ids=[
        "RGB, but ids are declared",
        "two bands, but ids are declared",
        "id out of range",
        "truncated PNG mask",
        "truncated PNG image",
        "16 bits",
    ],
)
def test_a_wrong_png_is_named(loveda_root, tmp_path, kind, spoil, message, crops):
    file = f"Val/Rural/{kind}_png/7.png"
    spoil(loveda_root / file)
    refused("loveda", loveda_root, tmp_path / "to", message, file, crops=crops)


def test_a_mask_of_nodata_alone_is_one_without_classes(loveda_root, tmp_path):
    painted("L", (SIZE, SIZE), 0)(loveda_root / "Val/Rural/masks_png/7.png")
    assert run("loveda", loveda_root, tmp_path / "to").unmatched == 0
    report = run("loveda", loveda_root, tmp_path / "crops", crops=True)
    with Image.open(report.root / "Val/Rural/masks_png/7_1.png") as crop:
        assert (np.asarray(crop) == 255).all()


def test_folders_may_have_spaces_but_no_sign_of_a_pattern(root, tmp_path):
    spaced = tmp_path / "my data" / "Deep Globe"
    spaced.mkdir(parents=True)
    root.joinpath("train").rename(spaced / "train 1")
    report = run("deepglobe", spaced.parent, tmp_path / "to")
    manifest = load_manifest(str(report.manifests[0].path))
    assert manifest.images == "Deep Globe/train 1/{tile}_sat.jpg"
    assert sum(map(len, find_scenes(manifest, report.root).splits.values())) == 8
    (spaced / "train 1").rename(spaced / "train{1}")
    refused("deepglobe", spaced.parent, tmp_path / "b", "{ } * ?", str(spaced / "train{1}"))


@pytest.mark.parametrize("crops", [False, True], ids=["windows", "crops"])
def test_a_file_at_the_path_of_the_folder_is_refused_before_any_work(root, tmp_path, crops):
    (tmp_path / "to").write_text("mine")
    refused(
        "deepglobe", root, tmp_path / "to", "cannot be written", str(tmp_path / "to"), crops=crops
    )
    archive = zipped(root, tmp_path / "land-cover.zip")
    refused("deepglobe", archive, tmp_path / "to", "cannot be written", str(tmp_path / "to"))
    assert (tmp_path / "to").read_text() == "mine"


def test_colors_of_no_class_are_counted_and_ignored(root, tmp_path):
    mask = Image.new("RGB", (SIZE, SIZE), "#00FF00")
    mask.paste((200, 20, 20), (0, 0, 10, 10))  # red: the one corner that is no class
    mask.save(root / MASK.format(1))
    assert run("deepglobe", root, tmp_path / "a").unmatched == 100
    report = run("deepglobe", root, tmp_path / "b", crops=True)
    assert report.unmatched == 100
    with Image.open(report.root / "data_cropped/1_mask_1.png") as crop:
        ids = np.asarray(crop)
    assert (ids[:10, :10] == 255).all()
    assert (ids == 255).sum() == 100


@pytest.mark.parametrize("content", [b"", b"{}\n{}\n", b"[1]\n", b"\0\0\0\n", b"{\n"])
def test_a_damaged_list_of_crops_is_named(root, tmp_path, content):
    report = run("deepglobe", root, tmp_path / "to", crops=True)
    for manifest in report.manifests:
        manifest.path.unlink()
    ledger = report.root / "crops.jsonl"
    ledger.write_bytes(content)
    refused("deepglobe", root, tmp_path / "to", "is damaged", str(ledger), crops=True)
    ledger.unlink()
    assert run("deepglobe", root, tmp_path / "to", crops=True).images == 2


def test_tiles_without_a_mask_are_accepted_as_unlabeled_when_partial(root, tmp_path):
    (root / MASK.format(1)).unlink()
    report = run("deepglobe", root, tmp_path, partial=True, crops=True)
    assert "its mask train/1_mask.png is missing" in " ".join(report.notes)
    assert len(list((report.root / "data_cropped").glob("*_sat_*"))) == 8
    assert len(list((report.root / "data_cropped").glob("*_mask_*"))) == 4


def test_a_part_that_is_missing_as_a_whole_is_refused_even_when_partial(loveda_root, tmp_path):
    shutil.rmtree(loveda_root / "Val")
    words = "expected 1 images of part Val, found 0", str(loveda_root)
    refused("loveda", loveda_root, tmp_path / "to", *words, partial=True)


@pytest.mark.parametrize("name", ["a", "a.zip"])
def test_missing_sources_are_named(tmp_path, name):
    words = "the source is missing", str(tmp_path / name), "isprs.org"
    refused("potsdam", tmp_path / name, tmp_path / "to", *words)


def test_several_folders_are_refused(root, tmp_path):
    words = "single folder, or archives", str(root), str(tmp_path)
    refused("deepglobe", (root, tmp_path), tmp_path / "to", *words)
