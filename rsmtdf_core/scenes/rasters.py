"""Read an image file through a choice of bands: windows as uint8, and where they have data."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from rsmtdf_core.arrays import Pixels
from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.bands import BandSettings, middle_range, scaled
from rsmtdf_core.scenes.images.decoder import Valid
from rsmtdf_core.scenes.images.file import ImageFile, open_image
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.images.labels import spread
from rsmtdf_core.scenes.images.orientation import Region
from rsmtdf_core.scenes.images.source import Source

_ROWS = 128  # scaled at a time, as scaling takes several times the memory of its result
_SAMPLE = 1024  # px; side of the part whose values an error message proposes as a scale


class Raster:
    """An open image with chosen bands, from `open_raster` or `choose_bands`; not thread-safe.

    Attributes:
        image: the file.
        frame: its size and georeference.
    """

    def __init__(self, image: ImageFile, bands: BandSettings) -> None:
        self.image = image
        self.frame: Frame = image.frame
        self._bands = bands

    def read(self, top: int, left: int, height: int, width: int) -> tuple[Pixels, Valid]:
        """Read a window as uint8 [height, width, C], RGB first, and where it has data, bool [height, width].

        A pixel has no data if the file's nodata values, mask or alpha exclude it (see `ImageFile.has_data`), or if a
        chosen band is not finite. Such pixels are black.

        Raises:
            DataError: If the window exceeds the image, or this part of the file is damaged.
        """
        if self._bands.scale is None:
            return self._read_plain((top, left, height, width))
        count = len(self._bands.indices)
        pixels, valid = np.empty((height, width, count), np.uint8), np.empty((height, width), bool)
        for start in range(0, height, _ROWS):
            rows = slice(start, min(start + _ROWS, height))
            part = (top + start, left, rows.stop - start, width)
            values, valid[rows] = read_values(self.image, self._bands.indices, part)
            shown = scaled(np.moveaxis(values, 2, 0), self._bands, valid[rows])
            pixels[rows] = self._bright(shown, valid[rows])
        return pixels, valid

    def read_all(self) -> tuple[Pixels, Valid]:
        """Read the whole image, see `read`."""
        return self.read(0, 0, self.frame.height, self.frame.width)

    def _read_plain(self, part: Region) -> tuple[Pixels, Valid]:
        """Read samples of up to 8 bits, which need no scale."""
        indices = self._bands.indices
        single = len(set(indices)) == 1  # a gray band, decoded once
        values, valid = read_values(self.image, indices[:1] if single else indices, part)
        bits = [self.image.bits[band - 1] for band in indices[: values.shape[2]]]
        if min(bits) < 8:
            values = np.dstack(
                [spread(values[..., channel], count) for channel, count in enumerate(bits)]
            )
        if not valid.all():
            values = np.where(valid[..., None], values, np.uint8(0))
        pixels: Pixels = np.repeat(values, len(indices), axis=2) if single else values
        return self._bright(pixels, valid), valid

    def _bright(self, pixels: Pixels, valid: Valid) -> Pixels:
        """Invert images that store bright pixels as small values."""
        return (
            np.where(valid[..., None], 255 - pixels, pixels) if self.image.white_is_zero else pixels
        )


def read_values(
    image: ImageFile, bands: tuple[int, ...], part: Region
) -> tuple[npt.NDArray[Any], Valid]:
    """Read the stored values of bands, [h, w, C], and where a pixel has data, bool [h, w]."""
    values = image.read(bands, part)
    has_data = image.has_data(bands, part)
    valid: Valid = np.ones(values.shape[:2], bool) if has_data is None else has_data
    if values.dtype.kind == "f":
        valid = valid & np.isfinite(values).all(axis=2)
    return values, valid


@contextmanager
def open_raster(source: Source, bands: BandSettings | None = None) -> Iterator[Raster]:
    """Open an image for reading through a choice of bands.

    Args:
        source: the file, or the files that are stacked.
        bands: the bands to read; by default the first three, or a single one three times, without bands tagged as
            alpha.

    Raises:
        MissingFileError: If the file is missing.
        DataError: If the file is not an image, is truncated, lacks a chosen band, or has more than 8 bits per band
            and no scale is given; or if files cannot be stacked (see `open_image`).
    """
    with open_image(source) as image:
        yield choose_bands(image, bands)


def choose_bands(image: ImageFile, bands: BandSettings | None = None) -> Raster:
    """Return an open image with a choice of bands.

    Raises:
        DataError: As for `open_raster`.
    """
    chosen = bands or first_bands(image)
    _require_bands(image, chosen)
    if chosen.scale is None:
        _require_eight_bits(image, chosen)
    return Raster(image, chosen)


def first_bands(image: ImageFile) -> BandSettings:
    """Return the default bands: the first three, or a single one three times, without alpha.

    Raises:
        DataError: If there are two.
    """
    colors = image.color_bands
    if len(colors) == 1:
        return _shown(colors * 3)
    if len(colors) < 3:
        raise DataError(
            f"expected one band, or at least three, found {len(colors)}",
            where=image.path,
            remedy="choose three with `bands: {indices: [1, 2, 2]}` in the manifest",
        )
    return _shown(colors[:3])


@cache  # called for every file that is opened
def _shown(indices: tuple[int, ...]) -> BandSettings:
    return BandSettings(indices=indices)


def _require_bands(image: ImageFile, bands: BandSettings) -> None:
    if max(bands.indices) > image.count:
        raise DataError(
            f"expected band {max(bands.indices)}, found {image.count} bands",
            where=image.path,
            remedy=f"name bands from 1 to {image.count} under `bands.indices` in the manifest",
        )
    if any(image.dtypes[band - 1].kind == "c" for band in bands.indices):
        raise DataError(
            "the bands hold complex numbers", where=image.path, remedy="convert them to magnitudes"
        )


def _require_eight_bits(image: ImageFile, bands: BandSettings) -> None:
    kinds = sorted({image.dtypes[band - 1].name for band in bands.indices})
    if kinds == ["uint8"]:
        return
    ranges = ", ".join(
        f"[{low:g}, {high:g}]" for low, high in map(middle_range, middle_values(image, bands))
    )
    raise DataError(
        f"expected bands of 8 bits, found {', '.join(kinds)} and no scale",
        where=image.path,
        remedy="set the values of black and white in the manifest, for example "
        f"`bands: {{indices: {list(bands.indices)}, scale: [{ranges}]}}` "
        "(the 2nd and 98th percentiles in the middle of this file); `rsmtdf predict` also takes --bands and --scale",
    )


def middle_values(image: ImageFile, bands: BandSettings) -> list[npt.NDArray[Any]]:
    """Return for each band the values [N] in the middle of an image, without nodata.

    Raises:
        DataError: If this part of the file is damaged.
    """
    sides = min(_SAMPLE, image.height), min(_SAMPLE, image.width)
    part = ((image.height - sides[0]) // 2, (image.width - sides[1]) // 2, *sides)
    values, valid = read_values(image, bands.indices, part)
    by_band = image.valid(bands.indices, part)
    has_data = valid[..., None] if by_band is None else by_band & valid[..., None]
    has_data = np.broadcast_to(has_data, values.shape)
    return [values[..., band][has_data[..., band]] for band in range(values.shape[2])]
