"""Resample a raster to the grid of another raster of the same area (tests: test_stack.py)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

from rsmtdf_core.scenes.images.decoder import Header, Valid, Values
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.images.gdal_decoder import GdalDecoder, gdal_errors
from rsmtdf_core.scenes.images.orientation import Orientation, Region

_NEAR = 0.49  # px of the grid between corners; with more, centers of pixels may be outside of the raster

Method = Literal["bilinear", "nearest"]


def same_area(grid: Frame, other: Frame) -> bool:
    """Whether two images have the same reference system and extent, up to half a pixel of the first."""
    from rasterio import Affine

    if grid.crs != other.crs:
        return False
    here, there = (frame.transform or Affine.identity() for frame in (grid, other))
    to_grid = ~here @ there
    for across, down in ((0, 0), (1, 0), (0, 1)):
        x, y = to_grid @ (across * other.width, down * other.height)
        if max(abs(x - across * grid.width), abs(y - down * grid.height)) > _NEAR:
            return False
    return True


@dataclass(frozen=True, slots=True)
class ResampledDecoder:
    """An open raster on another grid; see `Decoder`.

    Attributes:
        header: the raster's header, with the size and the georeference of the grid.
        values: reads the resampled values.
        nearest: reads where the nearest pixel has data.
    """

    header: Header
    values: GdalDecoder
    nearest: GdalDecoder

    def read(self, bands: tuple[int, ...], part: Region) -> Values:
        """Read resampled values of a part, [h, w, C]."""
        return self.values.read(bands, part)

    def valid(self, bands: tuple[int, ...], part: Region) -> Valid:
        """Read where the nearest pixel of each band has data, bool [h, w, C]."""
        return self.nearest.valid(bands, part)


@contextmanager
def open_resampled(decoder: GdalDecoder, grid: Frame, method: Method) -> Iterator[ResampledDecoder]:
    """Open a raster on the grid of another one of the same area; only requested parts are resampled.

    Bilinear values are means of the pixels with data. Where there is data is decided by the nearest pixel.

    Args:
        decoder: the open raster.
        grid: size and georeference of the grid; see `same_area`.
        method: `bilinear` for measured values, `nearest` for codes such as class ids.
    """
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT

    path, dataset, header = decoder.path, decoder.dataset, decoder.header
    target = {
        "crs": dataset.crs,
        "transform": grid.transform,
        "width": grid.width,
        "height": grid.height,
    }
    by_value = all(value is not None for value in header.nodata)
    by_mask = any(header.masked) and not by_value and "alpha" not in header.interpretation
    with gdal_errors(path):
        values = WarpedVRT(dataset, resampling=Resampling[method], **target)
        # A mask without a value survives as an alpha band.
        nearest = WarpedVRT(dataset, add_alpha=by_mask, **target)
    with values, nearest:
        yield ResampledDecoder(
            replace(header, frame=grid, by_parts=True),
            GdalDecoder(path, values, Orientation()),
            GdalDecoder(path, nearest, Orientation()),
        )
