"""Whatever `data init` writes, `data check` accepts; what it cannot tell, it refuses and writes nothing."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from cli.data.commands import app
from rsmtdf_core.errors import RsmtdfError
from rsmtdf_core.scenes.find import Dataset, Scene, find_pairs
from rsmtdf_core.scenes.manifest import load_manifest
from rsmtdf_core.scenes.reader import SceneReader

rasters = pytest.importorskip("tests.rasters")

SCENES = 9
HEIGHT, WIDTH = 24, 30
PALETTE = np.array([[0, 0, 0], [220, 20, 60], [0, 90, 200], [90, 160, 40]], np.uint8)


def class_ids(scene: int, classes: int) -> np.ndarray:
    """Areas of random classes, uint8 [H, W]; every class is in every mask."""
    cells = np.random.default_rng([scene, classes]).integers(0, classes, (4, 5), np.uint8)
    cells.flat[:classes] = range(classes)
    return cells.repeat(6, axis=0).repeat(6, axis=1)


def pixels(scene: int, bands: int, dtype: str, top: int) -> np.ndarray:
    """Noise, [bands, H, W]."""
    values = np.random.default_rng(scene).integers(0, top, (bands, HEIGHT, WIDTH))
    return values.astype(dtype)


def pillow(array: np.ndarray, **how) -> Callable[[Path], None]:
    image = Image.fromarray(array)
    palette = how.pop("palette", None)
    if palette is not None:
        image.putpalette(palette.ravel().tolist())
    return lambda path: image.save(path, **how)


def tiff(values: np.ndarray, **how) -> Callable[[Path], None]:
    return lambda path: rasters.write_tiff(path, values, **how)


def picture(scene: int, bands: int = 3) -> np.ndarray:
    return np.moveaxis(pixels(scene, bands, "uint8", 256), 0, 2).squeeze()


IMAGES: dict[str, tuple[str, Callable[[int], Callable[[Path], None]]]] = {
    "RGB": (".png", lambda n: pillow(picture(n))),
    "JPEG": (".jpg", lambda n: pillow(picture(n))),
    "grey": (".png", lambda n: pillow(picture(n, 1))),
    "alpha": (".png", lambda n: pillow(picture(n, 4))),
    "BMP": (".bmp", lambda n: pillow(picture(n))),
    "8-bit TIFF": (".tif", lambda n: tiff(pixels(n, 3, "uint8", 256))),
    "16 bits": (".tif", lambda n: tiff(pixels(n, 3, "uint16", 4000))),
    "16 bits, grey PNG": (".png", lambda n: pillow(pixels(n, 1, "uint16", 4000)[0])),
    "four bands": (".tiff", lambda n: tiff(pixels(n, 4, "int16", 4000), nodata=-9999)),
    "floats": (".tif", lambda n: tiff(pixels(n, 2, "float32", 4000) / 4000)),
}


@dataclass(frozen=True)
class Encoding:
    """How masks are written: from class ids of `classes` classes to a file that `ignored` says more of."""

    suffix: str
    classes: int
    write: Callable[[np.ndarray], Callable[[Path], None]]
    ignored: int = 0
    lossy: bool = False


def white(ids: np.ndarray) -> np.ndarray:
    return ids * np.uint8(255)


def unknown_corner(ids: np.ndarray, value: int, dtype: str = "uint8") -> np.ndarray:
    out = ids.astype(dtype)
    out[:5, :5] = value
    return out


def smoothed(ids: np.ndarray) -> Image.Image:
    small = Image.fromarray(white(ids)).resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.NEAREST)
    return small.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


MASKS: dict[str, Encoding] = {
    "ids": Encoding(".png", 3, pillow),
    "ids from 1": Encoding(".png", 3, lambda ids: pillow(ids + np.uint8(1))),
    "255 is no class": Encoding(".png", 3, lambda ids: pillow(unknown_corner(ids, 255)), 1),
    "black and white": Encoding(".png", 2, lambda ids: pillow(white(ids))),
    "1 bit": Encoding(".png", 2, lambda ids: pillow(ids.astype(bool))),
    "palette of 1 bit": Encoding(".png", 2, lambda ids: pillow(ids, palette=PALETTE, bits=1)),
    "palette of 2 bits": Encoding(".png", 4, lambda ids: pillow(ids, palette=PALETTE, bits=2)),
    "palette": Encoding(".png", 4, lambda ids: pillow(ids, palette=PALETTE)),
    "GIF": Encoding(".gif", 3, lambda ids: pillow(ids, palette=PALETTE)),
    "colours": Encoding(".png", 3, lambda ids: pillow(PALETTE[ids])),
    "16-bit PNG": Encoding(".png", 3, lambda ids: pillow(ids.astype(np.uint16))),
    "smoothed": Encoding(".png", 2, lambda ids: smoothed(ids).save, lossy=True),
    "smoothed in RGB": Encoding(".png", 2, lambda ids: smoothed(ids).convert("RGB").save, lossy=True),
    "grey JPEG": Encoding(".jpg", 2, lambda ids: pillow(white(ids), quality=85), lossy=True),
    "TIFF": Encoding(".tif", 3, lambda ids: tiff(ids[None])),
    "black and white TIFF": Encoding(".tif", 2, lambda ids: tiff(white(ids)[None])),
    "floats": Encoding(".tif", 3, lambda ids: tiff(ids[None].astype(np.float32))),
    "64 bits": Encoding(".tif", 3, lambda ids: tiff(ids[None].astype(np.int64))),
    "few bits": Encoding(".tif", 3, lambda ids: tiff(ids[None], nbits=2)),
    "LERC": Encoding(".tif", 3, lambda ids: tiff(ids[None].astype(np.float32), compress="LERC")),
    "white is zero": Encoding(".tif", 3, lambda ids: tiff(ids[None], photometric="MINISWHITE")),
    "nodata 0": Encoding(".tif", 3, lambda ids: tiff(unknown_corner(ids + 1, 0)[None], nodata=0), 1),
    "nodata -9999": Encoding(
        ".tif", 2, lambda ids: tiff(unknown_corner(ids, -9999, "int16")[None], nodata=-9999), 1
    ),
}  # fmt: skip

SPLITS = ("train", "train", "train", "train", "train", "val", "val", "test", "test")
AREAS = ("north", "south", "east")

LAYOUTS: dict[str, tuple[str, str]] = {
    "two folders": ("images/{name}", "masks/{name}"),
    "beside each other": ("{name}", "{name}_mask"),
    "two tails": ("{name}_sat", "{name}_label"),
    "two heads": ("images/image_{name}", "labels/label_{name}"),
    "splits": ("{split}/images/{name}", "{split}/masks/{name}"),
    "splits below": ("images/{split}/{name}", "annotations/{split}/{name}"),
    "areas": ("{area}/img/{name}", "{area}/gt/{name}"),
    "Cityscapes": (
        "leftImg8bit/{split}/{area}/{name}_leftImg8bit",
        "gtFine/{split}/{area}/{name}_gtFine_labelIds",
    ),
    "FloodNet": ("{split}/{split}-org-img/{name}", "{split}/{split}-label-img/{name}_lab"),
    "Massachusetts": ("{split}/sat/{name}", "{split}/map/{name}"),
    "Kaggle": ("{split}/{name}", "{split}_labels/{name}"),
    "another name": ("dop20/{name}", "masks/{name}"),
    "seven levels": ("a/b/{area}/d/e/images/g/{name}", "a/b/{area}/d/e/masks/g/{name}"),
}

NAMES = st.sampled_from(["t", "NO", "null", "1e", "scene [1] ", "a.b", "größe_", "{x}", "#"])
ROOTS = st.sampled_from(["data", "NO", "off", "1e3", "my data", "größe", "2024-01-01"])


def lay_out(root: Path, layout: str, image: str, mask: str, name: str) -> Encoding:
    """Scenes below `root`, each with an image and a mask."""
    suffix, draw = IMAGES[image]
    encoding = MASKS[mask]
    for scene in range(SCENES):
        fields = {"split": SPLITS[scene], "area": AREAS[scene % 3], "name": f"{name}{scene}"}
        for pattern, end, write in (
            (LAYOUTS[layout][0], suffix, draw(scene)),
            (
                LAYOUTS[layout][1],
                encoding.suffix,
                encoding.write(class_ids(scene, encoding.classes)),
            ),
        ):
            path = root / f"{_filled(pattern, fields)}{end}"
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path)
    return encoding


def _filled(pattern: str, fields: dict[str, str]) -> str:
    for field in ("split", "area", "name"):
        pattern = pattern.replace(f"{{{field}}}", fields[field])
    return pattern


def run(*words):
    """The exit status and output of `rsmtdf data`."""
    result = CliRunner().invoke(app, [*map(str, words)], env={"COLUMNS": "300"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        assert isinstance(result.exception, RsmtdfError), result.exc_info
        return 1, f"{result.output}{result.exception}"
    return result.exit_code, result.output


FOLDERS = {
    "layout": st.sampled_from(sorted(LAYOUTS)),
    "image": st.sampled_from(sorted(IMAGES)),
    "mask": st.sampled_from(sorted(MASKS)),
    "name": NAMES,
    "folder": ROOTS,
}


@settings(max_examples=8)
@given(**FOLDERS)
def test_what_init_writes_the_check_accepts(layout, image, mask, name, folder):
    require_accepted(layout, image, mask, name, folder)


@pytest.mark.slow
@settings(max_examples=300)
@given(**FOLDERS)
def test_what_init_writes_the_check_accepts_in_many_folders(layout, image, mask, name, folder):
    require_accepted(layout, image, mask, name, folder)


def require_accepted(layout: str, image: str, mask: str, name: str, folder: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / folder
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
        if mask == "colours":  # their ids follow the colours' order
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


def colours_in_jpeg(root: Path) -> None:
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


SPOILED = {
    of_another_size: "masks/t0.png",
    damaged: "t3.png",
    without_an_image: "masks/t2.png",
    in_another_encoding: "mask with",
    of_0_and_1_and_of_0_and_255: "two encodings",
    numbers_of_objects: "instance ids",
    colours_in_jpeg: "lossily",
    without_masks_of_these_names: "masks/other0.png",
    half_of_the_images_elsewhere: "no pattern fits",
}


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__)
def test_what_cannot_be_told_is_refused_and_nothing_is_written(tmp_path, spoil):
    lay_out(tmp_path, "two folders", "RGB", "ids", "t")
    spoil(tmp_path)
    status, output = run("init", tmp_path, "--yes")
    assert status != 0
    assert SPOILED[spoil] in output
    assert "mend:" in output
    assert not (tmp_path / "manifest.yaml").exists()


def test_copies_of_an_image_in_two_splits_are_warned_of(tmp_path):
    lay_out(tmp_path, "two folders", "RGB", "ids", "t")
    images = tmp_path / "images"
    for scene in range(1, SCENES):
        (images / f"t{scene}.png").write_bytes((images / "t0.png").read_bytes())
    status, output = run("init", tmp_path, "--yes")
    assert status == 0, output
    assert "in two splits" in output
    assert "the same bytes" in output
    assert (tmp_path / "manifest.yaml").exists()
