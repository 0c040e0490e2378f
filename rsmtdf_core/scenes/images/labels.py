"""Read the values of masks, numbers or colors, before a manifest interprets them.

Numbers are the stored ones, regardless of type, bits and photometric interpretation: 1-, 2- and 4-bit samples, palette
indices, and whole floating-point numbers. Pixels excluded by the nodata value or the internal mask of a raster have no
class; transparent pixels of a picture keep theirs.
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
    """Whether a mask has a single band of numbers, integer or floating-point."""
    return image.palette is not None or (image.count == 1 and image.dtypes[0].kind in "iuf")


def holds_colors(image: ImageFile) -> bool:
    """Whether a mask has 8-bit colors: a palette, or three bands with or without alpha.

    More bands are colors only if the file tags the first three as red, green and blue, as they may be one band per
    class.
    """
    if image.palette is not None:
        return True
    tagged = image.interpretation[:3] == ("red", "green", "blue")
    bands = len(image.color_bands)
    return image.eight_bits and (bands == 3 or (bands > 3 and tagged))


def holds_grays(image: ImageFile) -> bool:
    """Whether a mask has a single band of up to 8 bits, which may hold gray colors."""
    return image.palette is None and image.count == 1 and image.eight_bits


def read_numbers(image: ImageFile, part: Region | None = None) -> Labels:
    """Read the numbers of a mask for which `holds_numbers`; integers of the file's dtype, int64 for whole floats.

    Raises:
        DataError: If a number is not whole, or the file is damaged.
    """
    codes, valid = image.codes(part), _not_nodata(image, part)
    if codes.dtype.kind != "f":
        return codes, valid
    has_number = np.isfinite(codes) if valid is None else valid & np.isfinite(codes)
    values = np.where(has_number, codes, 0)
    odd = values[(values != np.rint(values)) | (np.abs(values) > _MOST_EXACT)]
    if odd.size:
        raise DataError(
            f"the mask holds numbers that are not whole, such as {odd[0]:g}, so they cannot be class ids",
            where=image.path,
            remedy="export class ids as integers, without smoothing or resampling other than nearest",
        )
    return values.astype(np.int64), None if has_number.all() else has_number


def read_colors(image: ImageFile, part: Region | None = None) -> Labels:
    """Read the colors of a mask for which `holds_colors` or `holds_grays`; grays of few bits are spread over 0..255.

    Raises:
        DataError: If the file is damaged.
    """
    valid = _not_nodata(image, part)
    if not holds_grays(image):
        return image.read(image.color_bands[:3], part), valid
    gray = spread(image.codes(part), image.bits[0])
    return np.repeat(gray[..., None], 3, axis=2), valid


def spread(values: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.uint8]:
    """Spread samples of 1 to 8 bits over 0..255, so that the largest becomes 255."""
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
