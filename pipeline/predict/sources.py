"""Reads the pixels of an input by rows of windows, keeping only the current row of windows in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np

from rsmtdf_core.arrays import Pixels
from rsmtdf_core.scenes.bands import BandSettings
from rsmtdf_core.scenes.images.decoder import Valid
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.images.source import Source as Origin
from rsmtdf_core.scenes.rasters import Raster, open_raster


class Source(Protocol):
    """Reads parts of an image, row by row of windows from the top."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, px."""
        ...

    def read(self, top: int, left: int, height: int, width: int) -> Pixels:
        """Read a window, uint8 [height, width, C]."""
        ...

    def valid(self, top: int, left: int, height: int, width: int) -> Valid:
        """Return the mask of pixels with data, bool [height, width], for a part of the rows read last."""
        ...


class _RasterSource:
    """Reads a raster and keeps the last rows, because all windows of a row share them."""

    def __init__(self, raster: Raster) -> None:
        self._raster = raster
        self.size = raster.frame.height, raster.frame.width
        self._forget()

    def _forget(self) -> None:
        self._kept = (0, 0)
        self._pixels = np.empty((0, self.size[1], 0), np.uint8)
        self._valid = np.empty((0, self.size[1]), bool)

    def read(self, top: int, left: int, height: int, width: int) -> Pixels:
        if self._kept != (top, height):
            self._forget()  # frees the memory before the next rows are read
            self._pixels, self._valid = self._raster.read(top, 0, height, self.size[1])
            self._kept = top, height
        return self._pixels[:, left : left + width]

    def valid(self, top: int, left: int, height: int, width: int) -> Valid:
        start = top - self._kept[0]
        assert 0 <= start <= start + height <= self._kept[1], "these rows were not read last"
        return self._valid[start : start + height, left : left + width]


@contextmanager
def open_source(source: Origin, bands: BandSettings | None) -> Iterator[tuple[Source, Frame]]:
    """Open an input for reading by rows, and return it with its georeference.

    Raises:
        MissingFileError, DataError: As raised by `open_raster`.
    """
    with open_raster(source, bands) as raster:
        yield _RasterSource(raster), raster.frame
