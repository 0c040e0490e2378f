"""Guess which bands of a folder's rasters to show, and which values are black and white."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.bands import BandSettings, middle_range
from rsmtdf_core.scenes.images.file import ImageFile, open_image
from rsmtdf_core.scenes.images.source import Source
from rsmtdf_core.scenes.rasters import middle_values

_SEEN = 16  # rasters whose values are read, evenly spaced through the folder
_FREQUENT = 1e-3  # smallest share of the pixels with a fill value
_VARIED = 10  # smallest number of different values in an image
_PRIMARIES = ("red", "green", "blue")


@dataclass(frozen=True)
class BandGuess:
    """A choice of bands for a folder.

    Attributes:
        bands: the choice.
        undeclared: values that look like nodata although no file declares them, sorted; the ranges exclude them.
    """

    bands: BandSettings
    undeclared: tuple[float, ...] = ()


def guess_bands(sources: Sequence[Source], given: BandSettings | None = None) -> BandGuess:
    """Choose the bands named red, green and blue, else the first three, and the middle range of their values.

    The range of each band spans the 2nd to the 98th percentile of the values in the middle of up to 16 rasters. 8-bit
    bands need no range.

    Args:
        sources: the rasters, at least one.
        given: the user's choice; its explicit settings are kept.

    Raises:
        MissingFileError, DataError: As for `open_raster`; also if a raster lacks a band that others have.
    """
    explicit = {} if given is None else given.model_dump(include=given.model_fields_set)
    seen = sources[:: -(-len(sources) // _SEEN)]
    with open_image(sources[0]) as image:
        bands = BandSettings.model_validate({"indices": _indices(image), **explicit})
    values = []
    for source in seen:
        with open_image(source) as image:
            if max(bands.indices) > image.count:
                raise DataError(
                    f"expected band {max(bands.indices)}, found {image.count} bands",
                    where=source,
                    remedy="name bands that all images have with --bands",
                )
            values.append(middle_values(image, bands))
    pooled = [np.concatenate(band) for band in zip(*values, strict=True)]
    if all(band.dtype == np.uint8 for band in pooled):
        return BandGuess(bands)
    fill = {value for band in pooled if (value := undeclared_nodata(band)) is not None}
    if bands.scale is None:
        filled = [band[~np.isin(band, list(fill))] for band in pooled]
        bands = bands.model_copy(update={"scale": tuple(map(middle_range, filled))})
    return BandGuess(bands, tuple(sorted(fill)))


def undeclared_nodata(values: npt.NDArray[np.generic]) -> float | None:
    """Return the lowest or highest value of a band [N] if it is frequent and far from all others, like a fill value.

    Frequent means at least one pixel in a thousand; far means farther than the width of the others' middle range. The
    others must have at least ten different values.
    """
    if values.size == 0:
        return None
    for end in (values.min(), values.max()):
        others = values[values != end]
        if values.size - others.size < _FREQUENT * values.size or np.unique(others).size < _VARIED:
            continue
        low, high = middle_range(others)
        if np.abs(others.astype(np.float64) - float(end)).min() > high - low:
            return float(end)
    return None


def _indices(image: ImageFile) -> tuple[int, ...]:
    names = image.interpretation
    if all(names.count(name) == 1 for name in _PRIMARIES):
        return tuple(names.index(name) + 1 for name in _PRIMARIES)
    first, *others = image.color_bands
    return (first, *others[:2]) if len(others) > 1 else (first, *(others or (first,)) * 2)
