"""An input's pixels by rows: of a GeoTIFF never more than the rows of one row of windows."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from rsmtdf_core.manifests.files import read_image
from rsmtdf_core.rasters.bands import BandSettings
from rsmtdf_core.rasters.reading import Frame, Pixels, Raster, Valid, open_raster


class Source(Protocol):
    """Rows of pixels, asked for from the top downward."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, px."""
        ...

    def rows(self, top: int, count: int) -> Pixels:
        """Rows of RGB, uint8 [count, W, 3]."""
        ...

    def valid(self, top: int, count: int) -> Valid:
        """Where rows among those last read have data, bool [count, W]."""
        ...


class _ImageSource:
    """An image that was read whole; it has data everywhere."""

    def __init__(self, pixels: Pixels) -> None:
        self._pixels = pixels
        self.size = pixels.shape[0], pixels.shape[1]

    def rows(self, top: int, count: int) -> Pixels:
        return self._pixels[top : top + count]

    def valid(self, top: int, count: int) -> Valid:
        del top
        return np.ones((count, self.size[1]), bool)


class _RasterSource:
    """A raster of which the rows that were last asked for are kept: all windows of a row want the same."""

    def __init__(self, raster: Raster) -> None:
        self._raster = raster
        self.size = raster.frame.height, raster.frame.width
        self._forget()

    def _forget(self) -> None:
        self._kept = (0, 0)
        self._pixels = np.empty((0, self.size[1], 3), np.uint8)
        self._valid = np.empty((0, self.size[1]), bool)

    def rows(self, top: int, count: int) -> Pixels:
        if self._kept != (top, count):
            self._forget()  # before the next are there too
            self._pixels, self._valid = self._raster.read(top, 0, count, self.size[1])
            self._kept = top, count
        return self._pixels

    def valid(self, top: int, count: int) -> Valid:
        start = top - self._kept[0]
        assert 0 <= start <= start + count <= self._kept[1], "these rows were not read last"
        return self._valid[start : start + count]


@contextmanager
def open_source(
    path: Path, bands: BandSettings | None, *, tiff: bool
) -> Iterator[tuple[Source, Frame]]:
    """The rows of an input, and where it lies.

    Raises:
        MissingFileError, DataError, ConfigError: as for `open_raster` and `read_image`.
    """
    if tiff:
        with open_raster(path, bands) as raster:
            yield _RasterSource(raster), raster.frame
        return
    pixels = read_image(path, bands)
    yield _ImageSource(pixels), Frame(pixels.shape[1], pixels.shape[0], None, None)
