"""Folders of images and masks in every format, encoding and layout that `data init` knows."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.data.commands import app
from rsmtdf_core.errors import RsmtdfError

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
    """A way to write masks: class ids of `classes` classes to a file, whose ignored pixels `ignored` describes."""

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
    "next to each other": ("{name}", "{name}_mask"),
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
            path = root / f"{filled(pattern, fields)}{end}"
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path)
    return encoding


def filled(pattern: str, fields: dict[str, str]) -> str:
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
