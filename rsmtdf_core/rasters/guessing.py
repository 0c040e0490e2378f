"""Which bands of a folder's rasters to show, and what is black and white in them, before anybody said so."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rsmtdf_core.errors import DataError
from rsmtdf_core.images.file import ImageFile, open_image
from rsmtdf_core.rasters.bands import BandSettings, middle_range
from rsmtdf_core.rasters.reading import middle_values

_SEEN = 16  # rasters whose values are looked at, at even distances through the folder
_EIGHT_BITS = "uint8"
_PRIMARIES = ("red", "green", "blue")


def guess_bands(paths: Sequence[Path], given: BandSettings | None = None) -> BandSettings:
    """The bands that are called red, green and blue, else the first three, and the middle range of their values.

    The range of each band runs from the 2nd to the 98th percentile of what the middles of up to 16 rasters hold. Bands
    of 8 bits stay as they are.

    Args:
        paths: the rasters, at least one.
        given: what somebody chose; what was set there is kept.

    Raises:
        MissingFileError, DataError, ConfigError: as for `open_raster`; or the rasters are of 8 bits and of more.
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
    if bands.scale is not None:
        return bands
    kinds = [one[0].dtype.name for one in values]
    if set(kinds) == {_EIGHT_BITS}:
        return bands
    if _EIGHT_BITS in kinds:
        raise DataError(
            f"this image is of 8 bits, others such as {seen[kinds.index(_other(kinds))]} are not",
            where=seen[kinds.index(_EIGHT_BITS)],
            remedy="keep images of one kind in a folder, or say what is black and white with --scale",
        )
    scale = [middle_range(np.concatenate(band)) for band in zip(*values, strict=True)]
    return bands.model_copy(update={"scale": tuple(scale)})


def _indices(image: ImageFile) -> tuple[int, ...]:
    called = image.interpretation
    if all(called.count(name) == 1 for name in _PRIMARIES):
        return tuple(called.index(name) + 1 for name in _PRIMARIES)
    first, *others = image.color_bands
    return (first, *others[:2]) if len(others) > 1 else (first, *(others or (first,)) * 2)


def _other(kinds: Sequence[str]) -> str:
    return next(kind for kind in kinds if kind != _EIGHT_BITS)
