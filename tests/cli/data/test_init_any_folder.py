"""`data check` accepts every manifest of `data init`, which refuses ambiguous folders without writing a file."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rsmtdf_core.scenes.find import Dataset, find_pairs
from rsmtdf_core.scenes.manifest import load_manifest
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.scenes.scene import Scene
from tests.any_folder import (
    HEIGHT,
    IMAGES,
    LAYOUTS,
    MASKS,
    PALETTE,
    SCENES,
    WIDTH,
    class_ids,
    lay_out,
    run,
    tiff,
    white,
)

NAMES = st.sampled_from(["t", "NO", "null", "1e", "scene [1] ", "a.b", "größe_", "{x}", "#"])
ROOTS = st.sampled_from(["data", "NO", "off", "1e3", "my data", "größe", "2024-01-01"])


FOLDERS = {
    "layout": st.sampled_from(sorted(LAYOUTS)),
    "image": st.sampled_from(sorted(IMAGES)),
    "mask": st.sampled_from(sorted(MASKS)),
    "name": NAMES,
    "folder": ROOTS,
}


@settings(max_examples=40)
@given(**FOLDERS)
def test_the_check_accepts_every_manifest_of_init(layout, image, mask, name, folder):
    require_accepted(layout, image, mask, name, folder)


@pytest.mark.reliability
@settings(max_examples=300)
@given(**FOLDERS)
def test_the_check_accepts_every_manifest_of_init_in_many_folders(
    layout, image, mask, name, folder
):
    require_accepted(layout, image, mask, name, folder)


def require_accepted(layout: str, image: str, mask: str, name: str, folder: str) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / folder
        encoding = lay_out(root, layout, image, mask, name)
        status, output = run("init", root, "--yes")
        assert status == 0, output
        manifest = load_manifest(str(root / "manifest.yaml"))
        assert len(manifest.classes) == encoding.classes, output
        assert len(manifest.mask_encoding.ignore) == encoding.ignored, output
        status, output = run("check", root / "manifest.yaml", "--root", root)
        assert status == 0, output
        assert "no problems found" in output
        assert "has no labeled scene" not in output


@pytest.mark.parametrize("mask", sorted(MASKS))
def test_masks_of_every_encoding_are_read_by_value(tmp_path, mask):
    encoding = lay_out(tmp_path, "two folders", "RGB", mask, "t")
    status, output = run("init", tmp_path, "--yes")
    assert status == 0, output
    manifest = load_manifest(str(tmp_path / "manifest.yaml"))
    reader = SceneReader(Dataset(manifest, tmp_path, {}))
    for pair in find_pairs(manifest, tmp_path):
        ids = reader.mask(Scene(pair.id, pair.image, pair.mask, WIDTH, HEIGHT))
        drawn = class_ids(int(pair.fields["name"].removeprefix("t")), encoding.classes)
        if mask == "colours":  # their ids follow the colors' order
            colors = [f"#{bytes(color).hex().upper()}" for color in PALETTE.tolist()]
            drawn = np.array(
                [[spec.color for spec in manifest.classes].index(color) for color in colors[:3]]
            )[drawn]
        same = ids == drawn
        if encoding.ignored:
            assert (ids[:5, :5] == manifest.ignore_id).all()
            same[:5, :5] = True
        assert same.mean() > 0.8 if encoding.lossy else same.all()


@pytest.mark.parametrize(
    ("image", "mask"), [("JPEG", "palette"), ("16 bits", "ids"), ("RGB", "TIFF")]
)
def test_names_in_latin_1_are_read_or_refused_by_name(tmp_path, image, mask):
    lay_out(tmp_path, "two folders", image, mask, "caf")
    for path in [*tmp_path.glob("*/*")]:
        path.rename(path.with_name(os.fsdecode(path.name.replace("caf", "café").encode("latin-1"))))
    status, output = run("init", tmp_path, "--yes")
    if image == "JPEG":
        assert status == 0, output
        assert run("check", tmp_path / "manifest.yaml", "--root", tmp_path)[0] == 0
    else:
        assert status == 1
        assert "caf" in output
        assert "not UTF-8" in output
        assert "convmv" in output


def of_another_size(root: Path) -> None:
    Image.fromarray(class_ids(0, 3)[:10]).save(root / "masks" / "t0.png")


def damaged(root: Path) -> None:
    path = root / "images" / "t3.png"
    path.write_bytes(path.read_bytes()[:200])


def without_an_image(root: Path) -> None:
    (root / "images" / "t2.png").unlink()


def in_another_encoding(root: Path) -> None:
    Image.fromarray(PALETTE[class_ids(1, 3)]).save(root / "masks" / "t1.png")


def of_0_and_1_and_of_0_and_255(root: Path) -> None:
    for scene in range(SCENES):
        ids = class_ids(scene, 2)
        Image.fromarray(ids if scene % 2 else white(ids)).save(root / "masks" / f"t{scene}.png")


def numbers_of_objects(root: Path) -> None:
    for scene in range(SCENES):
        ids = np.zeros((HEIGHT, WIDTH), np.uint8)
        for number in range(10 + scene):
            row, column = divmod(number, 7)
            ids[row * 6 + 1 : row * 6 + 5, column * 4 + 1 : column * 4 + 4] = number + 1
        Image.fromarray(ids).save(root / "masks" / f"t{scene}.png")


def colors_in_jpeg(root: Path) -> None:
    for scene in range(SCENES):
        (root / "masks" / f"t{scene}.png").unlink()
        Image.fromarray(PALETTE[class_ids(scene, 4)]).save(
            root / "masks" / f"t{scene}.jpg", quality=60
        )


def without_masks_of_these_names(root: Path) -> None:
    for scene in range(SCENES):
        (root / "masks" / f"t{scene}.png").rename(root / "masks" / f"other{scene}.png")


def half_of_the_images_elsewhere(root: Path) -> None:
    for path in (root / "masks").iterdir():
        path.unlink()
    (root / "more" / "below").mkdir(parents=True)
    for scene in range(4):
        (root / "images" / f"t{scene}.png").rename(root / "more" / "below" / f"t{scene}.png")


def a_band_for_each_class(root: Path) -> None:
    for scene in range(SCENES):
        (root / "masks" / f"t{scene}.png").unlink()
        bands = np.stack([class_ids(scene, 3) == number for number in (0, 1, 2, 0, 1)])
        tiff(bands.astype(np.uint8))(root / "masks" / f"t{scene}.tif")


SPOILED = {
    a_band_for_each_class: "5 bands of uint8",
    of_another_size: "masks/t0.png",
    damaged: "t3.png",
    without_an_image: "masks/t2.png",
    in_another_encoding: "mask with",
    of_0_and_1_and_of_0_and_255: "two encodings",
    numbers_of_objects: "instance ids",
    colors_in_jpeg: "lossy",
    without_masks_of_these_names: "masks/other0.png",
    half_of_the_images_elsewhere: "no pattern fits",
}


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__)
def test_ambiguous_folders_are_refused_without_writing_a_manifest(tmp_path, spoil):
    lay_out(tmp_path, "two folders", "RGB", "ids", "t")
    spoil(tmp_path)
    status, output = run("init", tmp_path, "--yes")
    assert status != 0
    assert SPOILED[spoil] in output
    assert "fix:" in output
    assert not (tmp_path / "manifest.yaml").exists()
