"""Which bands of a folder's rasters to show, and what is black and white in them, before anybody said so."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.bands import BandSettings, middle_range
from rsmtdf_core.scenes.images.file import ImageFile, open_image
from rsmtdf_core.scenes.rasters import middle_values

_SEEN = 16  # rasters whose values are looked at, at even distances through the folder
_FREQUENT = 1e-3  # share of the pixels
_VARIED = 10  # different values that an image has at least
_PRIMARIES = ("red", "green", "blue")


@dataclass(frozen=True)
class BandGuess:
    """A choice of bands for a folder.

    Attributes:
        bands: the choice.
        undeclared: values that look like no data although no file says so, in order; they are left out of the ranges.
    """

    bands: BandSettings
    undeclared: tuple[float, ...] = ()


def guess_bands(paths: Sequence[Path], given: BandSettings | None = None) -> BandGuess:
    """The bands that are called red, green and blue, else the first three, and the middle range of their values.

    The range of each band runs from the 2nd to the 98th percentile of what the middles of up to 16 rasters hold. Bands
    of 8 bits stay as they are.

    Args:
        paths: the rasters, at least one.
        given: what somebody chose; what was set there is kept.

    Raises:
        MissingFileError, DataError: as for `open_raster`; or a raster lacks a band that others have.
    """
    asked = {} if given is None else given.model_dump(include=given.model_fields_set)
    seen = paths[:: -(-len(paths) // _SEEN)]
    with open_image(paths[0]) as image:
        bands = BandSettings.model_validate({"indices": _indices(image), **asked})
    values = []
    for path in seen:
        with open_image(path) as image:
            if max(bands.indices) > image.count:
                raise DataError(
                    f"expected band {max(bands.indices)}, found {image.count} bands",
                    where=path,
                    remedy="name bands that all images have with --bands",
                )
            values.append(middle_values(image, bands))
    pooled = [np.concatenate(band) for band in zip(*values, strict=True)]
    if all(band.dtype == np.uint8 for band in pooled):
        return BandGuess(bands)
    fill = {value for band in pooled if (value := undeclared_nodata(band)) is not None}
    if bands.scale is None:
        known = [band[~np.isin(band, list(fill))] for band in pooled]
        bands = bands.model_copy(update={"scale": tuple(map(middle_range, known))})
    return BandGuess(bands, tuple(sorted(fill)))


def undeclared_nodata(values: npt.NDArray[np.generic]) -> float | None:
    """The lowest or highest value of a band [N] where it is frequent and far from all others, as fill values are.

    Far is more than the width of the middle range of the others, frequent at least one value in a thousand; the others
    have ten values at least.
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
    called = image.interpretation
    if all(called.count(name) == 1 for name in _PRIMARIES):
        return tuple(called.index(name) + 1 for name in _PRIMARIES)
    first, *others = image.color_bands
    return (first, *others[:2]) if len(others) > 1 else (first, *(others or (first,)) * 2)
