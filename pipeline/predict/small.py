"""Reads images and maps of any size as small ones, for panels."""

from pathlib import Path

import numpy as np

from rsmtdf_core.arrays import Pixels
from rsmtdf_core.scenes.bands import SHOWN, BandSettings
from rsmtdf_core.scenes.images.file import open_image
from rsmtdf_core.scenes.images.source import Source
from rsmtdf_core.scenes.rasters import open_raster

SIDE = 960  # px, longer side of a small image, twice that of a panel
_ROWS = 256  # of the image in memory at a time, about


def _factor(height: int, width: int) -> int:
    """Return the side of the squares that become pixels."""
    return max(1, -(-max(height, width) // SIDE))


def small_image(source: Source, bands: BandSettings | None) -> Pixels:
    """Read the RGB bands of an image, uint8 [h, w, 3], with means of squares so that no side exceeds `SIDE`.

    Incomplete squares at the right and lower border are left out.

    Raises:
        MissingFileError, DataError: If the file cannot be read.
    """
    with open_raster(source, bands) as raster:
        height, width = raster.frame.height, raster.frame.width
        factor = _factor(height, width)
        if factor == 1:
            return raster.read_all()[0][..., :SHOWN]
        small = np.empty((height // factor, width // factor, SHOWN), np.uint8)
        step = max(1, _ROWS // factor)
        for top in range(0, len(small), step):
            rows = min(step, len(small) - top)
            pixels, _ = raster.read(top * factor, 0, rows * factor, width)
            squares = pixels[:, : small.shape[1] * factor, :SHOWN].reshape(
                rows, factor, small.shape[1], factor, SHOWN
            )
            small[top : top + rows] = np.rint(squares.mean(axis=(1, 3), dtype=np.float32))
        return small


def small_map(path: Path) -> Pixels:
    """Read a map of class ids, uint8 [h, w], with the pixels in the middle of the squares of `small_image`.

    Raises:
        MissingFileError, DataError: If the file cannot be read.
    """
    with open_image(path) as image:
        height, width = image.height, image.width
        factor = _factor(height, width)
        small = np.empty((height // factor, width // factor), np.uint8)
        step = max(1, _ROWS // factor)
        for top in range(0, len(small), step):
            rows = min(step, len(small) - top)
            ids = image.codes((top * factor, 0, rows * factor, width))
            middle = ids[factor // 2 :: factor, factor // 2 :: factor]
            small[top : top + rows] = middle[:, : small.shape[1]]
        return small
