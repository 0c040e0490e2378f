"""Decode pictures with 8 bits per sample with Pillow: PNG, JPEG, BMP, WebP and GIF (tests: test_matrix.py)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.images.decoder import Header, Valid, Values
from rsmtdf_core.scenes.images.formats import ImageFormat, conversion
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.images.orientation import Orientation, Region
from rsmtdf_core.scenes.images.quiet import quiet_decoders
from rsmtdf_core.scenes.images.tags import picture_orientation

_ROWS = 1024  # converted at a time, to avoid several copies of the whole image in memory
_BANDS = {
    "1": ("gray",),
    "L": ("gray",),
    "LA": ("gray", "alpha"),
    "P": ("palette",),
    "RGB": ("red", "green", "blue"),
    "RGBA": ("red", "green", "blue", "alpha"),
}
_CONVERTED = {
    "PA": "RGBA",
    "La": "LA",
    "RGBa": "RGBA",
    "RGBX": "RGB",
    "CMYK": "RGB",
    "YCbCr": "RGB",
}


class PillowDecoder:
    """An open picture; see `Decoder`."""

    def __init__(self, path: Path, image: Image.Image, orientation: Orientation) -> None:
        self._path = path
        self._image = image
        self._mode = _CONVERTED.get(image.mode, image.mode)
        if self._mode not in _BANDS:
            raise DataError(
                f"expected an image with 8 bits per band, found Pillow's mode {image.mode}",
                where=path,
                remedy=conversion(path),
            )
        if image.format != "MPO" and getattr(image, "is_animated", False):
            raise DataError(
                "expected a single image, found several in one file",
                where=path,
                remedy="export the intended image as a PNG",
            )
        bands = _BANDS[self._mode]
        transparent = "alpha" in bands or "transparency" in image.info
        self.header = Header(
            frame=Frame(*image.size),
            dtypes=(np.dtype(np.uint8),) * len(bands),
            bits=(1 if self._mode == "1" else 8,) * len(bands),
            interpretation=bands,
            nodata=(None,) * len(bands),
            masked=tuple(transparent and band != "alpha" for band in bands),
            palette=_palette(image) if self._mode == "P" else None,
            orientation=orientation,
        )

    def read(self, bands: tuple[int, ...], part: Region) -> Values:
        """Read stored values of a part, uint8 [h, w, C]."""
        pixels = self._converted(self._mode, part)
        if pixels.ndim == 2:
            pixels = pixels[..., None]
        if bands == tuple(range(1, pixels.shape[2] + 1)):
            return pixels
        return pixels[..., [band - 1 for band in bands]]

    def valid(self, bands: tuple[int, ...], part: Region) -> Valid:
        """Read where the picture is not fully transparent, bool [h, w, C]; an alpha band has data everywhere."""
        masked: Valid = np.array([self.header.masked[band - 1] for band in bands])
        if not masked.any():
            return np.ones((*part[2:], len(bands)), bool)
        opaque: Valid = self._converted("RGBA", part)[..., 3:] > 0
        return opaque | ~masked

    def _converted(self, mode: str, part: Region) -> npt.NDArray[np.uint8]:
        top, left, height, width = part
        if height <= _ROWS and (width, height) == self._image.size:
            with pillow_errors(self._path):
                whole = self._image
                pixels = np.asarray(whole if whole.mode == mode else whole.convert(mode))
                return pixels.astype(np.uint8, copy=False)
        pixels = np.empty(0, np.uint8)
        for start in range(0, height, _ROWS):
            stop = min(start + _ROWS, height)
            with pillow_errors(self._path):
                rows = self._image.crop((left, top + start, left + width, top + stop))
                values = np.asarray(rows if rows.mode == mode else rows.convert(mode))
            if not start:
                pixels = np.empty((height, *values.shape[1:]), np.uint8)
            pixels[start:stop] = values
        return pixels


@contextmanager
def open_with_pillow(
    path: Path, form: ImageFormat, orientation: Orientation | None = None
) -> Iterator[PillowDecoder]:
    """Open a picture; no pixel is decoded yet.

    Args:
        path: the file.
        form: its format.
        orientation: its orientation; None reads it from the file.

    Raises:
        DataError: If the file is damaged, too large for Pillow, or does not have 8 bits per band.
    """
    assert form.pillow is not None
    quiet_decoders()  # rasters above Pillow's warning limit are common; its error limit applies
    with pillow_errors(path):
        image = Image.open(path, formats=[form.pillow])
    with image:
        with pillow_errors(path):
            decoder = PillowDecoder(path, image, orientation or picture_orientation(image))
        yield decoder


@contextmanager
def pillow_errors(path: Path) -> Iterator[None]:
    """Turn Pillow's errors into an error that names the file."""
    try:
        yield
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(str(error), where=path, remedy="cut the image into smaller files") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(
            f"the image cannot be read: {error}",
            where=path,
            remedy="download or export the file again",
        ) from None


def _palette(image: Image.Image) -> npt.NDArray[np.uint8]:
    """RGBA of each index, uint8 [256, 4]."""
    probe = Image.frombytes("P", (256, 1), bytes(range(256)))
    probe.putpalette(image.getpalette() or [])
    table: npt.NDArray[np.uint8] = np.asarray(probe.convert("RGBA"))[0]
    return table
