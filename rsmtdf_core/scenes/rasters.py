"""An image file through a choice of bands: windows as uint8, with where they have data."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
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

_ROWS = 128  # that are scaled at a time, as scaling takes several times the memory of its result
_SAMPLE = 1024  # px, side of the part whose values an error proposes as a scale


class Raster:
    """An open image whose bands were chosen; made by `open_raster` or `choose_bands`, for one thread.

    Attributes:
        image: the file.
        frame: its size and place.
    """

    def __init__(self, image: ImageFile, bands: BandSettings) -> None:
        self.image = image
        self.frame: Frame = image.frame
        self._bands = bands

    def read(self, top: int, left: int, height: int, width: int) -> tuple[Pixels, Valid]:
        """A window as uint8 [height, width, C], RGB first, and where it has data, bool [height, width].

        A pixel has no data where the file's nodata values, mask or alpha say so (see `ImageFile.has_data`), or where
        a chosen band is not a finite number; it is black.

        Raises:
            DataError: the window reaches over the image, or the file is damaged there.
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
        """The same for all of the image."""
        return self.read(0, 0, self.frame.height, self.frame.width)

    def _read_plain(self, part: Region) -> tuple[Pixels, Valid]:
        """Samples of up to 8 bits, which need no scale."""
        indices = self._bands.indices
        single = len(set(indices)) == 1  # a grey band, decoded once
        values, valid = read_values(self.image, indices[:1] if single else indices, part)
        bits = [self.image.bits[band - 1] for band in indices[: values.shape[2]]]
        if min(bits) < 8:
            values = np.dstack(
                [spread(values[..., place], count) for place, count in enumerate(bits)]
            )
        if not valid.all():
            values = np.where(valid[..., None], values, np.uint8(0))
        pixels: Pixels = np.repeat(values, len(indices), axis=2) if single else values
        return self._bright(pixels, valid), valid

    def _bright(self, pixels: Pixels, valid: Valid) -> Pixels:
        """Turn round what is stored with small values for bright."""
        return (
            np.where(valid[..., None], 255 - pixels, pixels) if self.image.white_is_zero else pixels
        )


def read_values(
    image: ImageFile, bands: tuple[int, ...], part: Region
) -> tuple[npt.NDArray[Any], Valid]:
    """The bands as they are in the file, [h, w, C], and where a pixel has data, bool [h, w]."""
    values = image.read(bands, part)
    known = image.has_data(bands, part)
    valid: Valid = np.ones(values.shape[:2], bool) if known is None else known
    if values.dtype.kind == "f":
        valid = valid & np.isfinite(values).all(axis=2)
    return values, valid


@contextmanager
def open_raster(path: Path, bands: BandSettings | None = None) -> Iterator[Raster]:
    """Open an image for reading through a choice of bands.

    Args:
        path: the file.
        bands: which of its bands are read; by default the first three, or a single one thrice, of 8 bits; bands
            tagged as alpha do not count.

    Raises:
        MissingFileError, DataError: the file is missing, no image, cut off, or has not the bands
            that are to be read, or more than 8 bits a band while no scale is given.
    """
    with open_image(path) as image:
        yield choose_bands(image, bands)


def choose_bands(image: ImageFile, bands: BandSettings | None = None) -> Raster:
    """An open image through a choice of bands.

    Raises:
        DataError: as for `open_raster`.
    """
    chosen = bands or first_bands(image)
    _require_bands(image, chosen)
    if chosen.scale is None:
        _require_eight_bits(image, chosen)
    return Raster(image, chosen)


def first_bands(image: ImageFile) -> BandSettings:
    """The bands that are shown where nobody chose: the first three, or a single one thrice, alpha left out.

    Raises:
        DataError: there are two.
    """
    colors = image.color_bands
    if len(colors) == 1:
        return _shown(colors * 3)
    if len(colors) < 3:
        raise DataError(
            f"expected one band, or three at least, found {len(colors)}",
            where=image.path,
            remedy="choose three with `bands: {indices: [1, 2, 2]}` in the manifest",
        )
    return _shown(colors[:3])


@cache  # as every file that is opened asks
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
        remedy="say in the manifest what becomes black and white, for example "
        f"`bands: {{indices: {list(bands.indices)}, scale: [{ranges}]}}` "
        "(the 2nd and 98th percentiles in the middle of this file); `rsmtdf predict` takes --bands and --scale, too",
    )


def middle_values(image: ImageFile, bands: BandSettings) -> list[npt.NDArray[Any]]:
    """For each of the bands the values [N] in the middle of an image, those without data left out.

    Raises:
        DataError: the file is damaged there.
    """
    sides = min(_SAMPLE, image.height), min(_SAMPLE, image.width)
    part = ((image.height - sides[0]) // 2, (image.width - sides[1]) // 2, *sides)
    values, valid = read_values(image, bands.indices, part)
    by_band = image.valid(bands.indices, part)
    known = valid[..., None] if by_band is None else by_band & valid[..., None]
    known = np.broadcast_to(known, values.shape)
    return [values[..., place][known[..., place]] for place in range(values.shape[2])]
