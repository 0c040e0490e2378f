"""An image file, opened once: size, bands, place, pixels and where they have data, whatever its format.

The decoder follows from the file's content: Pillow for pictures of 8 bits a sample, GDAL for all else. Everyone who
needs pixels opens files here, so that checks, training and prediction see the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.images.decoder import Decoder, Header, Valid, Values
from rsmtdf_core.scenes.images.formats import PNG, ImageFormat, identify
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.images.gdal_decoder import open_with_gdal
from rsmtdf_core.scenes.images.orientation import Orientation, Region
from rsmtdf_core.scenes.images.pillow_decoder import open_with_pillow
from rsmtdf_core.scenes.images.tags import png_tags

_PALETTE_BANDS = ("red", "green", "blue")


class ImageFile:
    """An open image, made by `open_image`, for one thread.

    Bands are counted from 1. A palette counts as the three bands that its colors have; the indices into it are what
    `codes` returns. Sizes and parts are of the image as viewers show it, turned as its orientation tag says.

    Attributes:
        path: the file.
        format: what its content is.
        frame: size and place on the earth.
    """

    def __init__(self, path: Path, form: ImageFormat, decoder: Decoder) -> None:
        self.path = path
        self.format = form
        self._decoder = decoder
        width, height = self.orientation.shown_size(
            (self._header.frame.width, self._header.frame.height)
        )
        self.frame: Frame = replace(self._header.frame, width=width, height=height)

    @property
    def _header(self) -> Header:
        return self._decoder.header

    @property
    def width(self) -> int:
        """Columns, px."""
        return self.frame.width

    @property
    def height(self) -> int:
        """Rows, px."""
        return self.frame.height

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, px."""
        return self.width, self.height

    @property
    def orientation(self) -> Orientation:
        """How the stored pixels were turned to become those that are shown."""
        return self._header.orientation

    @property
    def turned(self) -> bool:
        """Whether the image is shown in another way than it is stored."""
        return self.orientation.tag != 1

    @property
    def palette(self) -> npt.NDArray[np.uint8] | None:
        """RGBA of each index, uint8 [256, 4], where the file holds indices into a palette."""
        return self._header.palette

    @property
    def count(self) -> int:
        """How many bands there are."""
        return len(self.interpretation)

    @cached_property
    def interpretation(self) -> tuple[str, ...]:
        """What each band shows, in GDAL's words: gray, red, green, blue, alpha, undefined, nir ..."""
        return self._header.interpretation if self.palette is None else _PALETTE_BANDS

    @property
    def color_bands(self) -> tuple[int, ...]:
        """The bands that are not tagged as alpha."""
        return tuple(band for band, name in enumerate(self.interpretation, 1) if name != "alpha")

    @property
    def dtypes(self) -> tuple[np.dtype[Any], ...]:
        """The kind of number of each band."""
        return self._header.dtypes if self.palette is None else (np.dtype(np.uint8),) * 3

    @property
    def bits(self) -> tuple[int, ...]:
        """The significant bits of each band's samples, 1 to 64."""
        return self._header.bits if self.palette is None else (8,) * 3

    @property
    def nodata(self) -> tuple[float | None, ...]:
        """The value of each stored band that stands for no data; None where the file names none."""
        return self._header.nodata

    @property
    def white_is_zero(self) -> bool:
        """Whether small values are bright (TIFF's MINISWHITE); of the values as stored."""
        return self._header.white_is_zero and self.palette is None

    @property
    def by_parts(self) -> bool:
        """Whether reading a part costs about its share of the whole; else all is decoded for any part."""
        return self._header.by_parts

    @property
    def eight_bits(self) -> bool:
        """Whether all bands have unsigned samples of 8 bits or fewer, so that no scale is needed to show them."""
        return all(dtype == np.uint8 for dtype in self.dtypes)

    def describe(self, bands: tuple[int, ...] | None = None) -> str:
        """The bands in words: "4 bands of uint16"."""
        kinds = [self.dtypes[band - 1].name for band in bands or range(1, self.count + 1)]
        word = "band" if self.count == 1 else "bands"
        return f"{self.count} {word} of {', '.join(sorted(set(kinds)))}"

    def read(self, bands: tuple[int, ...], part: Region | None = None) -> Values:
        """Values of bands as the file has them, [h, w, C] of their dtype; colors where there is a palette.

        Args:
            bands: which, counted from 1; one may be named several times.
            part: top, left, height and width; all by default.

        Raises:
            DataError: the part reaches over the image, or the file is damaged there.
        """
        if self.palette is not None:
            colors = self.palette[:, [band - 1 for band in bands]]
            return np.take(colors, self.codes(part), axis=0)
        return self._shown(self._decoder.read(bands, self._stored(part)))

    def valid(self, bands: tuple[int, ...], part: Region | None = None) -> Valid | None:
        """Where each band has data, bool [h, w, C]; None where the file leaves nothing out in any of them.

        A band has no data where it holds its nodata value, where the file's mask leaves pixels out, and where alpha
        is 0. An alpha band that is named here is an input like any other, say a near infrared that was tagged
        wrongly, and hides nothing.

        Raises:
            DataError: as for `read`.
        """
        stored = bands if self.palette is None else (1,) * len(bands)
        if not any(self._leaves_out(stored)):
            return None
        return self._shown(self._decoder.valid(stored, self._stored(part)))

    def has_data(self, bands: tuple[int, ...], part: Region | None = None) -> Valid | None:
        """Where a pixel has data, bool [h, w]; None where the file leaves nothing out.

        A pixel has none where each of the bands that can lack data lacks it.

        Raises:
            DataError: as for `read`.
        """
        stored = bands if self.palette is None else (1,)
        masked = tuple(
            dict.fromkeys(
                band
                for band, leaves_out in zip(stored, self._leaves_out(stored), strict=True)
                if leaves_out
            )
        )
        if not masked:
            return None
        valid = self._decoder.valid(masked, self._stored(part))
        some: Valid = np.any(valid, axis=2)
        return self._shown(some)

    def _leaves_out(self, bands: tuple[int, ...]) -> list[bool]:
        """Whether the file leaves pixels of each band out."""
        header = self._header
        by_alpha = "alpha" in header.interpretation and not any(
            value is not None for value in header.nodata
        )
        if by_alpha and any(header.interpretation[band - 1] == "alpha" for band in bands):
            return [False] * len(bands)
        return [header.masked[band - 1] for band in bands]

    def codes(self, part: Region | None = None) -> Values:
        """The first band as it is stored, [h, w]: indices where there is a palette, samples of any bits unspread.

        Raises:
            DataError: as for `read`.
        """
        return self._shown(self._decoder.read((1,), self._stored(part)))[..., 0]

    def whole(self) -> Region:
        """The part that is all of the image."""
        return 0, 0, self.height, self.width

    def _stored(self, part: Region | None) -> Region:
        top, left, height, width = part or self.whole()
        if top + height > self.height or left + width > self.width or min(top, left) < 0:
            raise DataError(
                f"a window reaches over the image's {self.width} x {self.height} px",
                where=self.path,
                remedy="the file changed since its scenes were listed: run the command again",
            )
        return self.orientation.stored_part((top, left, height, width), self.size)

    def _shown(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self.orientation.tag == 1:
            return pixels
        return np.ascontiguousarray(self.orientation.apply(pixels))


@contextmanager
def open_image(path: Path) -> Iterator[ImageFile]:
    """Open an image file by its content; no pixel is decoded yet.

    Raises:
        MissingFileError: there is no such file, or a VRT's source is missing.
        DataError: the file is of no format that is read, damaged, or a VRT that reaches beyond local images.
    """
    form = identify(path)
    orientation = None
    by_pillow = form.pillow is not None
    if form is PNG:
        tags = png_tags(path)
        by_pillow, orientation = tags.plain, tags.orientation
    opened = (
        open_with_pillow(path, form, orientation)
        if by_pillow
        else open_with_gdal(path, form, orientation)
    )
    with opened as decoder:
        yield ImageFile(path, form, decoder)
