"""Where an image lies on the earth."""

from collections.abc import Sequence
from dataclasses import dataclass
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
        from rasterio.transform import array_bounds

        west, south, east, north = array_bounds(self.height, self.width, self.transform)
        return west, min(south, north), east, max(south, north)


def apart(first: Frame, second: Frame) -> bool:
    """Whether two images certainly show different places: both have a place, and these do not overlap."""
    from rasterio.errors import RasterioError
    from rasterio.warp import transform_bounds

    here, there = first.bounds, second.bounds
    if here is None or there is None:
        return False
    try:
        west, south, east, north = transform_bounds(second.crs, first.crs, *there)
    except RasterioError:  # one of them is local: there is no way from one to the other
        return False
    return not (west < here[2] and here[0] < east and south < here[3] and here[1] < north)
