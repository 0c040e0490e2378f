"""Image files of any supported format: size, bands, georeference, pixels, valid data (tests: test_matrix.py).

The content of the file selects the decoder: Pillow for pictures with 8 bits per sample, GDAL for all others. All code
that needs pixels opens files here, so that checks, training and prediction see the same pixels.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.images.decoder import Decoder, Header, Valid, Values
from rsmtdf_core.scenes.images.formats import PNG, ImageFormat, identify
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.images.gdal_decoder import (
    GdalDecoder,
    open_remote,
    open_with_gdal,
    remote_format,
)
from rsmtdf_core.scenes.images.grid import Method, open_resampled
from rsmtdf_core.scenes.images.orientation import Orientation, Region
from rsmtdf_core.scenes.images.pillow_decoder import open_with_pillow
from rsmtdf_core.scenes.images.source import File, RemoteFile, Source, source_files
from rsmtdf_core.scenes.images.stack import StackDecoder, require_same_area
from rsmtdf_core.scenes.images.tags import png_tags

_PALETTE_BANDS = ("red", "green", "blue")


class ImageFile:
    """An open image, from `open_image`; not thread-safe.

    Bands are counted from 1. A palette counts as three bands, those of its colors; `codes` returns the indices into it.
    Sizes and parts refer to the image as viewers show it, turned by its orientation tag.

    Attributes:
        path: the file; the first one of a stack.
        format: the format of its content.
        frame: size and georeference.
    """

    def __init__(self, path: File, form: ImageFormat, decoder: Decoder) -> None:
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
        """The way from stored to shown pixels."""
        return self._header.orientation

    @property
    def turned(self) -> bool:
        """Whether the image is shown differently from how it is stored."""
        return self.orientation.tag != 1

    @property
    def palette(self) -> npt.NDArray[np.uint8] | None:
        """RGBA of each index, uint8 [256, 4], if the file holds indices into a palette."""
        return self._header.palette

    @property
    def count(self) -> int:
        """The number of bands."""
        return len(self.interpretation)

    @cached_property
    def interpretation(self) -> tuple[str, ...]:
        """GDAL's color interpretation of each band: gray, red, green, blue, alpha, undefined, nir ..."""
        return self._header.interpretation if self.palette is None else _PALETTE_BANDS

    @property
    def color_bands(self) -> tuple[int, ...]:
        """The bands that are not tagged as alpha."""
        return tuple(band for band, name in enumerate(self.interpretation, 1) if name != "alpha")

    @property
    def dtypes(self) -> tuple[np.dtype[Any], ...]:
        """The dtype of each band."""
        return self._header.dtypes if self.palette is None else (np.dtype(np.uint8),) * 3

    @property
    def bits(self) -> tuple[int, ...]:
        """The significant bits of each band's samples, 1 to 64."""
        return self._header.bits if self.palette is None else (8,) * 3

    @property
    def nodata(self) -> tuple[float | None, ...]:
        """The nodata value of each stored band; None if the file declares none."""
        return self._header.nodata

    @property
    def white_is_zero(self) -> bool:
        """Whether small stored values are bright (TIFF's MINISWHITE)."""
        return self._header.white_is_zero and self.palette is None

    @property
    def by_parts(self) -> bool:
        """Whether reading a part costs about its share of the whole; otherwise every part decodes the whole file."""
        return self._header.by_parts

    @property
    def by_rows(self) -> bool:
        """Whether reading a part costs about the share of its stored rows."""
        return self._header.by_rows

    @property
    def eight_bits(self) -> bool:
        """Whether all bands have unsigned samples of at most 8 bits, which need no scale to be shown."""
        return all(dtype == np.uint8 for dtype in self.dtypes)

    def describe(self, bands: tuple[int, ...] | None = None) -> str:
        """Describe the bands in words: "4 bands of uint16"."""
        kinds = [self.dtypes[band - 1].name for band in bands or range(1, self.count + 1)]
        word = "band" if self.count == 1 else "bands"
        return f"{self.count} {word} of {', '.join(sorted(set(kinds)))}"

    def read(self, bands: tuple[int, ...], part: Region | None = None) -> Values:
        """Read the values of bands, [h, w, C] of their dtype; colors if there is a palette.

        Args:
            bands: the bands, counted from 1; a band may occur several times.
            part: top, left, height and width, px; None reads the whole image.

        Raises:
            DataError: If the part exceeds the image, or this part of the file is damaged.
        """
        if self.palette is not None:
            colors = self.palette[:, [band - 1 for band in bands]]
            return np.take(colors, self.codes(part), axis=0)
        return self._shown(self._decoder.read(bands, self._stored(part)))

    def valid(self, bands: tuple[int, ...], part: Region | None = None) -> Valid | None:
        """Read where each band has data, bool [h, w, C]; None if the bands have data everywhere.

        A band has no data at its nodata value, at pixels that the file's mask excludes, and at pixels with alpha 0. If
        `bands` names an alpha band, it is an input like any other, such as a wrongly tagged near infrared, and hides
        no pixels.

        Raises:
            DataError: As for `read`.
        """
        stored = bands if self.palette is None else (1,) * len(bands)
        if not any(self._leaves_out(stored)):
            return None
        return self._shown(self._decoder.valid(stored, self._stored(part)))

    def has_data(self, bands: tuple[int, ...], part: Region | None = None) -> Valid | None:
        """Read where pixels have data, bool [h, w]; None if all of them have.

        A pixel has no data if none of the bands that can lack data has any.

        Raises:
            DataError: As for `read`.
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

    def lacks_data(self, bands: tuple[int, ...]) -> bool:
        """Whether the file excludes pixels of these bands."""
        return any(self._leaves_out(bands if self.palette is None else (1,)))

    @contextmanager
    def on_grid(self, grid: Frame, method: Method) -> Iterator["ImageFile"]:
        """Yield this image on the grid of another one of the same area; see `open_resampled`.

        An image of the grid's size is yielded as it is.

        Raises:
            DataError: If the file cannot be resampled: it is not a raster, or bilinear means of its colors' numbers
                would be other colors.
        """
        if self.size == (grid.width, grid.height):
            yield self
            return
        if not isinstance(self._decoder, GdalDecoder) or (
            method == "bilinear" and self.palette is not None
        ):
            raise DataError(
                f"only rasters of values can be resampled, found {self.format.name} of {self.describe()}",
                where=self.path,
                remedy="gdal_translate -expand rgb converts a palette",
            )
        with open_resampled(self._decoder, grid, method) as decoder:
            yield ImageFile(self.path, self.format, decoder)

    def _leaves_out(self, bands: tuple[int, ...]) -> list[bool]:
        """Whether the file excludes pixels, for each band."""
        header = self._header
        by_alpha = "alpha" in header.interpretation and not any(
            value is not None for value in header.nodata
        )
        if by_alpha and any(header.interpretation[band - 1] == "alpha" for band in bands):
            return [False] * len(bands)
        return [header.masked[band - 1] for band in bands]

    def codes(self, part: Region | None = None) -> Values:
        """Read the first band as stored, [h, w]: indices if there is a palette, samples with their own number of bits.

        Raises:
            DataError: As for `read`.
        """
        return self._shown(self._decoder.read((1,), self._stored(part)))[..., 0]

    def whole(self) -> Region:
        """Return the part that covers the whole image."""
        return 0, 0, self.height, self.width

    def _stored(self, part: Region | None) -> Region:
        top, left, height, width = part or self.whole()
        if top + height > self.height or left + width > self.width or min(top, left) < 0:
            raise DataError(
                f"a window exceeds the image's {self.width} x {self.height} px",
                where=self.path,
                remedy="the file changed after its scenes were listed: run the command again",
            )
        return self.orientation.stored_part((top, left, height, width), self.size)

    def _shown(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self.orientation.tag == 1:
            return pixels
        return np.ascontiguousarray(self.orientation.apply(pixels))


@contextmanager
def open_image(source: Source) -> Iterator[ImageFile]:
    """Open an image file by its content, or the files of a stack; no pixel is decoded yet.

    A stack has the grid of its first file. Other files of the same area are resampled to it: bilinear, as bands are
    measurements. A pixel has data where all of the files have.

    Raises:
        MissingFileError: If a file or a VRT's source is missing.
        DataError: If the format is not supported, the file is damaged, a VRT refers to more than local images, or the
            files of a stack have different reference systems or extents.
    """
    files = source_files(source)
    with ExitStack() as opened:
        images = [opened.enter_context(_open_file(file)) for file in files]
        if len(images) == 1:
            yield images[0]
            return
        for image in images[1:]:
            require_same_area(images[0], image)
        aligned = [
            opened.enter_context(image.on_grid(images[0].frame, "bilinear")) for image in images
        ]
        yield ImageFile(images[0].path, images[0].format, StackDecoder(aligned))


@contextmanager
def _open_file(path: File) -> Iterator[ImageFile]:
    if isinstance(path, RemoteFile):
        with open_remote(path) as remote:
            yield ImageFile(path, remote_format(path), remote)
        return
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
