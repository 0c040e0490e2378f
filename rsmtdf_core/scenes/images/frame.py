"""Where an image lies on the earth."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Frame:
    """Size of an image and what its file says of its place.

    Attributes:
        width: px.
        height: px.
        crs: rasterio's coordinate reference system of `transform`; None where the file has none.
        transform: rasterio's affine transform from pixels to `crs`; None where the file cannot have one.
        gcps: rasterio's ground control points, pixels with their coordinates in `gcps_crs`.
        gcps_crs: the coordinate reference system of `gcps`.
        rpcs: rasterio's rational polynomial coefficients, a sensor's model; None where the file has none.
    """

    width: int
    height: int
    crs: Any = None
    transform: Any = None
    gcps: Sequence[Any] = ()
    gcps_crs: Any = None
    rpcs: Any = None

    @property
    def georeferenced(self) -> bool:
        """Whether anything places the image on the earth."""
        placed = self.transform is not None and not self.transform.is_identity
        return self.crs is not None or placed or bool(self.gcps) or self.rpcs is not None

    @property
    def bounds(self) -> Bounds | None:
        """West, south, east and north in `crs`; None where there is no CRS or no transform."""
        if self.crs is None or self.transform is None or self.transform.is_identity:
            return None
        a, b, c, d, e, f = self.transform[:6]
        corners = [(x, y) for x in (0, self.width) for y in (0, self.height)]
        xs, ys = [a * x + b * y + c for x, y in corners], [d * x + e * y + f for x, y in corners]
        return min(xs), min(ys), max(xs), max(ys)

    def bounds_in(self, crs: Any) -> Bounds | None:  # noqa: ANN401 - rasterio has no types
        """The same in another coordinate reference system; None where there is no way to it, as from a local one."""
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
    """Whether two images certainly show different places: both have a place, and these do not overlap."""
    here, there = first.bounds, second.bounds_in(first.crs)
    if here is None or there is None:
        return False
    west, south, east, north = there
    return not (west < here[2] and here[0] < east and south < here[3] and here[1] < north)
