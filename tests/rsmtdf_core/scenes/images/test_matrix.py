"""Training, prediction and checks read the same, expected pixels of every kind of file."""

import struct
import zlib
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.predict.sources import open_source
from rsmtdf_core.scenes.bands import BandSettings
from rsmtdf_core.scenes.check import check_dataset
from rsmtdf_core.scenes.find import find_scenes
from rsmtdf_core.scenes.images import open_image
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.reader import SceneReader
from tests.rasters import rasterio, write_tiff

HEIGHT, WIDTH = 40, 48
HOLE = np.zeros((HEIGHT, WIDTH), bool)
HOLE[:9, :17] = True
RANGE = (1000.0, 3000.0)


def draw(bands: int, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    """Values [bands, H, W] without 0, the nodata value."""
    low, high = (1, 256) if dtype is np.uint8 else (1000, 3001)
    return np.random.default_rng(seed).integers(low, high, (bands, HEIGHT, WIDTH)).astype(dtype)


def write_png(path: Path, values: np.ndarray, bits: int, color: int, *chunks: bytes) -> None:
    """A PNG of integers [H, W, C] of any depth, with further chunks after the pixels."""
    spread = values.astype(np.uint32)[..., None] >> np.arange(bits)[::-1] & 1
    rows = [b"\0" + np.packbits(row.ravel().astype(np.uint8)).tobytes() for row in spread]
    height, width = values.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    parts = [b"IHDR" + header, b"IDAT" + zlib.compress(b"".join(rows)), *chunks, b"IEND"]
    framed = (
        struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part))
        for part in parts
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(framed))


def scaled(values: np.ndarray) -> np.ndarray:
    low, high = RANGE
    return np.rint((values.astype(float) - low) / (high - low) * 255).astype(np.uint8)


def rgb_of(values: np.ndarray) -> np.ndarray:
    """Bands [C, H, W] as they are shown, [H, W, 3]."""
    shown = values if values.dtype == np.uint8 else scaled(values)
    return np.moveaxis(np.repeat(shown, 3, 0) if len(shown) == 1 else shown[:3], 0, 2)


def with_hole(values: np.ndarray, value: float) -> np.ndarray:
    return np.where(HOLE, value, values).astype(values.dtype)


def tiff(photometric, dtype, nodata, driver="GTiff"):
    """A writer of rasters with a hole marked by `nodata`, and the expected pixels."""

    def write(folder: Path) -> tuple[Path, np.ndarray, np.ndarray]:
        bands = {"RGB": 3, "MINISBLACK": 1, "MINISWHITE": 1, "palette": 1}[photometric]
        values = draw(bands, dtype)
        profile = {"photometric": photometric} if driver == "GTiff" else {}
        path = folder / ("a.tif" if driver == "GTiff" else "a.img")
        shown = rgb_of(values)
        if photometric == "MINISWHITE":
            shown = 255 - shown
        if nodata == "value":
            values, profile["nodata"] = with_hole(values, 0), 0
        if nodata == "alpha":
            values = np.concatenate([values, np.where(HOLE, 0, 255)[None].astype(dtype)])
            profile["alpha"] = "YES"
        if driver != "GTiff":
            profile |= {"driver": driver, "tiled": None, "blockxsize": None, "blockysize": None}
        write_tiff(path, values, **profile)
        if photometric == "palette":
            colors = np.random.default_rng(1).integers(0, 256, (256, 3), np.uint8)
            with rasterio.open(path, "r+") as file:
                file.write_colormap(1, {i: tuple(map(int, c)) for i, c in enumerate(colors)})
            shown = colors[values[0]]
        if nodata == "mask":
            with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
                file.write_mask(~HOLE)
        return path, shown, HOLE if nodata else np.zeros_like(HOLE)

    return write


def picture(mode, suffix, *, exact=True, transparent=False):
    """A writer of pictures in one of Pillow's modes."""

    def write(folder: Path) -> tuple[Path, np.ndarray, np.ndarray]:
        image = Image.fromarray(np.moveaxis(draw(3), 0, 2)).convert(mode)
        if transparent:
            image.putalpha(Image.fromarray(np.where(HOLE, 0, 200).astype(np.uint8)))
        path = folder / f"a{suffix}"
        image.save(path, **({"lossless": True} if suffix == ".webp" else {}))
        with Image.open(path) as saved:
            shown = np.asarray((saved if not exact else image).convert("RGB"))
        return path, shown, HOLE if transparent else np.zeros_like(HOLE)

    return write


def png(bits, color):
    """A writer of PNGs whose samples are not of 8 bits."""

    def write(folder: Path) -> tuple[Path, np.ndarray, np.ndarray]:
        path, count = folder / "a.png", {0: 1, 2: 3, 4: 2, 6: 4}[color]
        if bits < 8:
            values = np.random.default_rng(0).integers(0, 2**bits, (HEIGHT, WIDTH, 1))
            write_png(path, values, bits, color)
            shown = np.repeat(np.rint(values * 255 / (2**bits - 1)), 3, 2).astype(np.uint8)
            return path, shown, np.zeros_like(HOLE)
        values = draw(count, np.uint16)
        if color >= 4:
            values[-1] = np.where(HOLE, 0, 65535)
        write_png(path, np.moveaxis(values, 0, 2), bits, color)
        colors = values[: count - (color >= 4)]
        return path, rgb_of(colors), HOLE if color >= 4 else np.zeros_like(HOLE)

    return write


def named_as(write, suffix):
    """The same file under the name of another format."""

    def rename(folder: Path) -> tuple[Path, np.ndarray, np.ndarray]:
        path, *shown = write(folder)
        return path.rename(path.with_suffix(suffix)), *shown

    return rename


def vrt(folder: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    """A mosaic of a single file, with a nodata value for each band."""
    values = draw(3)
    (folder / "sources").mkdir()
    write_tiff(folder / "sources" / "a.tif", with_hole(values, 7))
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}"><NoDataValue>7</NoDataValue><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">sources/a.tif</SourceFilename><SourceBand>{band}</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
        for band in (1, 2, 3)
    )
    size = f'rasterXSize="{WIDTH}" rasterYSize="{HEIGHT}"'
    (folder / "a.vrt").write_text(f"<VRTDataset {size}>{bands}</VRTDataset>")
    hole = HOLE | (values == 7).all(axis=0)
    return folder / "a.vrt", rgb_of(values), hole


def turned(tag, suffix, *, bits=8):
    """A writer of pictures that are stored turned, with the tag that turns them back."""

    def write(folder: Path) -> tuple[Path, np.ndarray, np.ndarray]:
        path = folder / f"a{suffix}"
        upright = np.moveaxis(draw(3), 0, 2)
        undone = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}[tag]
        from PIL import ImageOps

        carrier = Image.fromarray(upright)
        carrier.getexif()[274] = undone
        stored = np.asarray(ImageOps.exif_transpose(carrier))
        if suffix == ".png":  # as exiftool writes it: after the pixels
            exif = Image.Exif()
            exif[274] = tag
            write_png(path, stored, 8, 2, b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0"))
        else:
            Image.fromarray(stored).save(path, tiffinfo={274: tag})
        return path, upright, np.zeros_like(HOLE)

    return write


KINDS = {
    f"{photometric} {dtype.__name__} {nodata or 'whole'}": tiff(photometric, dtype, nodata)
    for photometric, dtype, nodata in product(
        ["RGB", "MINISBLACK", "MINISWHITE"],
        [np.uint8, np.uint16, np.int16, np.float32],
        [None, "value", "mask", "alpha"],
    )
}
KINDS |= {
    f"palette {nodata or 'whole'}": tiff("palette", np.uint8, nodata) for nodata in (None, "mask")
}
KINDS |= {f"Imagine {d.__name__}": tiff("RGB", d, "value", "HFA") for d in (np.uint8, np.uint16)}
KINDS |= {
    f"{mode}{suffix}": picture(mode, suffix)
    for mode, suffix in product(["L", "P", "RGB"], [".png", ".bmp"])
}
KINDS |= {
    "JPEG": picture("RGB", ".jpg", exact=False),
    "gray JPEG": picture("L", ".jpg", exact=False),
    "CMYK JPEG": picture("CMYK", ".jpg", exact=False),
    "WebP": picture("RGB", ".webp"),
    "GIF": picture("P", ".gif", exact=False),
    "RGBA.png": picture("RGB", ".png", transparent=True),
    "LA.png": picture("L", ".png", transparent=True),
    "RGBA.webp": picture("RGB", ".webp", transparent=True),
    "PNG named .tif": named_as(picture("RGB", ".png"), ".tif"),
    "TIFF named .png": named_as(tiff("RGB", np.uint8, "value"), ".png"),
    "JPEG named .png": named_as(picture("RGB", ".jpg", exact=False), ".png"),
    "VRT": vrt,
}
KINDS |= {f"PNG of {bits} bits": png(bits, 0) for bits in (1, 2, 4)}
KINDS |= {f"PNG of 16 bits, color type {color}": png(16, color) for color in (0, 2, 4, 6)}
KINDS |= {f"orientation {tag}{s}": turned(tag, s) for tag in range(1, 9) for s in (".png", ".tif")}


def manifest_of(path: Path) -> Manifest:
    with open_image(path) as image:
        deep = not image.eight_bits
        bands = (1, 2, 3) if len(image.color_bands) >= 3 else (1, 1, 1)
    return Manifest.model_validate(
        {
            "name": "matrix",
            "title": "Matrix",
            "classes": [{"name": "all", "color": "#00FF00"}],
            "images": "images/{name}.*",
            "masks": "masks/{name}.*",
            "mask_encoding": {"encoding": "indices"},
            "splits": {"train": {}},
        }
        | ({"bands": {"indices": bands, "scale": RANGE}} if deep else {})
    )


@pytest.fixture(params=KINDS, ids=list(KINDS))
def case(request, tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    path, shown, hole = KINDS[request.param](tmp_path / "images")
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(tmp_path / "masks" / "a.png")
    return tmp_path, path, np.where(hole[..., None], 0, shown), ~hole


def test_every_stage_sees_the_pixels_of_the_file(case):
    root, path, shown, valid = case
    manifest = manifest_of(path)
    dataset = find_scenes(manifest, root)
    (scene,) = dataset.splits["train"]
    reader = SceneReader(dataset)
    assert np.array_equal(reader.image(scene), shown)
    assert np.array_equal(reader.mask(scene), np.where(valid, 0, 255))
    with open_source(path, manifest.bands) as (source, frame):
        assert source.size == (frame.height, frame.width) == (HEIGHT, WIDTH)
        for top in range(0, HEIGHT, 16):
            rows = slice(top, min(top + 16, HEIGHT))
            pixels = source.read(top, 0, rows.stop - top, WIDTH)
            assert np.array_equal(pixels, shown[rows])
            assert np.array_equal(source.valid(top, 0, rows.stop - top, WIDTH), valid[rows])
    result = check_dataset(manifest, root)
    assert not result.problems
    (split,) = result.splits
    assert split.pixels == {"all": valid.sum()}
    assert split.ignored == (~valid).sum()


@pytest.mark.parametrize("tag", range(2, 9))
def test_turned_images_are_named(tmp_path, tag):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    path, *_ = turned(tag, ".png")(tmp_path / "images")
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(tmp_path / "masks" / "a.png")
    manifest = manifest_of(path)
    (caution,) = find_scenes(manifest, tmp_path).cautions
    assert "1 image turned by the EXIF orientation, such as images/a.png" in caution
    assert caution in check_dataset(manifest, tmp_path).notes
    if tag < 5:
        return
    Image.fromarray(np.zeros((WIDTH, HEIGHT), np.uint8)).save(tmp_path / "masks" / "a.png")
    (problem,) = check_dataset(manifest, tmp_path).problems
    assert "the image is turned by its orientation tag, the mask is not" in problem.what


def test_an_alpha_tag_on_an_input_band_hides_no_pixel(tmp_path):
    values = draw(4)
    values[3, :20] = 0  # water in the near infrared
    path = write_tiff(tmp_path / "a.tif", values, photometric="RGB", alpha="YES")
    with open_source(path, BandSettings(indices=(4, 3, 2))) as (source, _):
        pixels = source.read(0, 0, HEIGHT, WIDTH)
        assert np.array_equal(pixels, np.moveaxis(values[[3, 2, 1]], 0, 2))
        assert source.valid(0, 0, HEIGHT, WIDTH).all()
    untagged = write_tiff(tmp_path / "b.tif", values, photometric="RGB", alpha="NO")
    with open_source(untagged, None) as (source, _):
        source.read(0, 0, HEIGHT, WIDTH)
        assert source.valid(0, 0, HEIGHT, WIDTH).all()


def test_premultiplied_colors_stay_as_they_are_stored(tmp_path):
    values = draw(4)
    path = write_tiff(tmp_path / "a.tif", values, photometric="RGB", alpha="PREMULTIPLIED")
    with open_source(path, None) as (source, _):
        assert np.array_equal(source.read(0, 0, HEIGHT, WIDTH), np.moveaxis(values[:3], 0, 2))
