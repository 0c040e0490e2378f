"""Masks by value: the numbers or colors that a file holds, before a manifest says what they mean.

Numbers are those of the file, whatever their type, their bits and their photometric interpretation: 1-, 2- and 4-bit
samples, palette indices, and floating-point numbers that are whole. The nodata value and the internal mask of a
raster stand for no class; the transparency of a picture does not.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.images.decoder import Valid
from rsmtdf_core.scenes.images.file import ImageFile
from rsmtdf_core.scenes.images.orientation import Region

Labels = tuple[npt.NDArray[np.integer[Any]], Valid | None]
"""Integers [h, w] or colors uint8 [h, w, 3], and where they are not nodata, bool [h, w]; None: everywhere."""

_MOST_EXACT = 2.0**53  # beyond it not every whole number is a float64


def holds_numbers(image: ImageFile) -> bool:
    """Whether a mask has a single band of numbers: integers, or floating-point numbers that may be whole."""
    return image.palette is not None or (image.count == 1 and image.dtypes[0].kind in "iuf")


def holds_colors(image: ImageFile) -> bool:
    """Whether a mask has colors of 8 bits: a palette, or three bands with or without alpha.

    More bands are colors only if the file tags the first three as such: a band for each class holds no colors.
    """
    if image.palette is not None:
        return True
    tagged = image.interpretation[:3] == ("red", "green", "blue")
    bands = len(image.color_bands)
    return image.eight_bits and (bands == 3 or (bands > 3 and tagged))


def holds_grays(image: ImageFile) -> bool:
    """Whether a mask has a single band of up to 8 bits, which may stand for gray colors."""
    return image.palette is None and image.count == 1 and image.eight_bits


def read_numbers(image: ImageFile, part: Region | None = None) -> Labels:
    """The numbers of a mask for which `holds_numbers`; integers of the file's dtype, int64 for whole floats.

    Raises:
        DataError: a number is not whole, or the file is damaged.
    """
    codes, valid = image.codes(part), _not_nodata(image, part)
    if codes.dtype.kind != "f":
        return codes, valid
    known = np.isfinite(codes) if valid is None else valid & np.isfinite(codes)
    values = np.where(known, codes, 0)
    odd = values[(values != np.rint(values)) | (np.abs(values) > _MOST_EXACT)]
    if odd.size:
        raise DataError(
            f"the mask holds numbers that are not whole, such as {odd[0]:g}: no class ids",
            where=image.path,
            remedy="export class ids as integers, without smoothing or resampling other than nearest",
        )
    return values.astype(np.int64), None if known.all() else known


def read_colors(image: ImageFile, part: Region | None = None) -> Labels:
    """The colors of a mask for which `holds_colors` or `holds_grays`; grays of few bits are spread over 0..255.

    Raises:
        DataError: the file is damaged.
    """
    valid = _not_nodata(image, part)
    if not holds_grays(image):
        return image.read(image.color_bands[:3], part), valid
    gray = spread(image.codes(part), image.bits[0])
    return np.repeat(gray[..., None], 3, axis=2), valid


def spread(values: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.uint8]:
    """Samples of 1 to 8 bits over 0..255: the largest becomes 255."""
    if bits >= 8:
        return values
    table: npt.NDArray[np.uint8] = np.rint(
        np.arange(256).clip(max=2**bits - 1) * (255 / (2**bits - 1))
    ).astype(np.uint8)
    return table[values]


def _not_nodata(image: ImageFile, part: Region | None) -> Valid | None:
    if not image.format.raster or "alpha" in image.interpretation:
        return None
    bands = (1,) if image.palette is not None else tuple(range(1, image.count + 1))
    return image.has_data(bands, part)
