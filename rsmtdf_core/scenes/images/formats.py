"""The supported image formats, identified by a file's first bytes.

File names only serve to find files. The content decides the format and the decoding library: a PNG named `a.tif` is
read as a PNG.
"""

from dataclasses import dataclass
from pathlib import Path

from rsmtdf_core.errors import DataError, MissingFileError

_START = 1024  # bytes of a file that are inspected


@dataclass(frozen=True, slots=True)
class ImageFormat:
    """An image format.

    Attributes:
        name: the name for users.
        suffixes: the usual suffixes of its file names, in lower case with the dot.
        driver: GDAL's driver.
        pillow: Pillow's name if Pillow may decode it; None if GDAL always does.
        raster: whether it can hold a georeference, so that its map is a GeoTIFF.
    """

    name: str
    suffixes: tuple[str, ...]
    driver: str
    pillow: str | None = None
    raster: bool = False


PNG = ImageFormat("PNG", (".png",), "PNG", "PNG")
JPEG = ImageFormat("JPEG", (".jpg", ".jpeg"), "JPEG", "JPEG")
TIFF = ImageFormat("TIFF", (".tif", ".tiff"), "GTiff", raster=True)
BMP = ImageFormat("BMP", (".bmp",), "BMP", "BMP")
WEBP = ImageFormat("WebP", (".webp",), "WEBP", "WEBP")
GIF = ImageFormat("GIF", (".gif",), "GIF", "GIF")
VRT = ImageFormat("VRT", (".vrt",), "VRT", raster=True)
HFA = ImageFormat("ERDAS Imagine", (".img",), "HFA", raster=True)
JP2 = ImageFormat("JPEG 2000", (".jp2", ".j2k"), "JP2OpenJPEG", raster=True)

FORMATS = (PNG, JPEG, TIFF, BMP, WEBP, GIF, VRT, HFA, JP2)
"""All supported formats."""

IMAGE_SUFFIXES = tuple(suffix for form in FORMATS for suffix in form.suffixes)
"""The suffixes of file names that identify images in folders."""

RASTER_SUFFIXES = frozenset(suffix for form in FORMATS if form.raster for suffix in form.suffixes)
"""The suffixes of formats that can hold a georeference."""

_SIGNATURES = {
    PNG: (b"\x89PNG\r\n",),
    JPEG: (b"\xff\xd8\xff",),
    TIFF: (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    BMP: (b"BM",),
    GIF: (b"GIF8",),
    HFA: (b"EHFA_HEADER_TAG",),
    JP2: (b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51"),
}


def identify(path: Path) -> ImageFormat:
    """Return the format of a file by its first bytes.

    Raises:
        MissingFileError: If the file is missing.
        DataError: If the file cannot be read, or its format is not in `FORMATS`.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_START)
    except FileNotFoundError:
        raise MissingFileError(
            "the file is missing", where=path, remedy="restore the file, or correct the path"
        ) from None
    except OSError as error:
        raise DataError(f"the image cannot be read: {error.strerror}", where=path) from None
    form = _format_of(start)
    if form is None:
        raise DataError(
            f"the image cannot be read: {_described(start)}, not {known_formats()}",
            where=path,
            remedy=conversion(path),
        )
    return form


def known_formats() -> str:
    """Return the names of the formats as a list in words."""
    *first, last = (form.name for form in FORMATS)
    return f"{', '.join(first)} or {last}"


def conversion(path: Path) -> str:
    """Return the command that converts a raster of another format to a supported format."""
    return (
        f"gdal_translate {path.name} {path.stem}-converted.tif, if GDAL reads the file; "
        "if it is damaged, download or export it again"
    )


def _format_of(start: bytes) -> ImageFormat | None:
    if start.startswith(b"RIFF"):
        return WEBP if start[8:12] == b"WEBP" else None
    if b"<VRTDataset" in start:
        return VRT
    for form, signatures in _SIGNATURES.items():
        if start.startswith(signatures):
            return form
    return None


def _described(start: bytes) -> str:
    """Describe a file that is not an image."""
    if not start:
        return "the file is empty"
    if start.startswith(b"version https://git-lfs"):
        return "the file is a Git LFS pointer (git lfs pull fetches the image)"
    if b"<html" in start.lower() or start.lower().lstrip().startswith(b"<!doctype"):
        return "the file is a web page"
    return "the content is of another format"
