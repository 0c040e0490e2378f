"""The size and georeference of an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeAlias

Crs: TypeAlias = Any
"""A coordinate reference system of rasterio, which has no types."""

Transform: TypeAlias = Any
"""An affine transform of rasterio."""

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Frame:
    """Size of an image, and the georeference in its file.

    Attributes:
        width: width, px.
        height: height, px.
        crs: rasterio's coordinate reference system of `transform`; None if the file has none.
        transform: rasterio's affine transform from pixels to `crs`; None if the file cannot have one.
        gcps: rasterio's ground control points, pixels with their coordinates in `gcps_crs`.
        gcps_crs: the coordinate reference system of `gcps`.
        rpcs: rasterio's rational polynomial coefficients, a sensor's model; None if the file has none.
    """

    width: int
    height: int
    crs: Crs = None
    transform: Transform = None
    gcps: Sequence[Any] = ()
    gcps_crs: Crs = None
    rpcs: Any = None

    @property
    def georeferenced(self) -> bool:
        """Whether the file has any georeference."""
        placed = self.transform is not None and not self.transform.is_identity
        return self.crs is not None or placed or bool(self.gcps) or self.rpcs is not None

    @property
    def bounds(self) -> Bounds | None:
        """West, south, east and north in `crs`; None without a CRS or a transform."""
        if self.crs is None or self.transform is None or self.transform.is_identity:
            return None
        a, b, c, d, e, f = self.transform[:6]
        corners = [(x, y) for x in (0, self.width) for y in (0, self.height)]
        xs, ys = [a * x + b * y + c for x, y in corners], [d * x + e * y + f for x, y in corners]
        return min(xs), min(ys), max(xs), max(ys)

    def bounds_in(self, crs: Crs) -> Bounds | None:
        """Return the bounds in another CRS; None if there is no transformation, as from a local CRS."""
        from rasterio._err import CPLE_BaseError
        from rasterio.errors import RasterioError
        from rasterio.warp import transform_bounds

        if self.bounds is None or crs is None:
            return None
        try:
            west, south, east, north = transform_bounds(self.crs, crs, *self.bounds)
        except (RasterioError, CPLE_BaseError):
            return None
        bounds = west, south, east, north
        return bounds if all(map(isfinite, bounds)) else None


def apart(first: Frame, second: Frame) -> bool:
    """Whether two images certainly show different areas: both have bounds, and these do not overlap."""
    bounds, other = first.bounds, second.bounds_in(first.crs)
    if bounds is None or other is None:
        return False
    west, south, east, north = other
    return not (west < bounds[2] and bounds[0] < east and south < bounds[3] and bounds[1] < north)
