"""Move geometries from map coordinates to the pixels of an image."""

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.images.frame import Bounds, Crs, Frame
from rsmtdf_core.scenes.shapes.features import Geometries

_STRAIGHT = 64
"""Longest straight edge, px. An edge is straight in the CRS of its file and curved in another; a piece of 64 px of 10 m
deviates by less than 0.02 px at a latitude of 60 degrees."""

_MARGIN = 0.05  # share of the image's extent
_WGS84 = "EPSG:4326"


def require_georeference(frame: Frame) -> None:
    """Refuse images on which map coordinates have no place.

    Raises:
        DataError: If the image has no CRS or no transform.
    """
    if frame.bounds is None:
        missing = "coordinate reference system (CRS)" if frame.crs is None else "transform"
        raise DataError(
            f"the image has no {missing}, so labels in map coordinates have no place on it",
            remedy="gdal_translate -a_srs EPSG:32640 -a_ullr WEST NORTH EAST SOUTH, with the image's own values",
        )


def placed(
    geometries: Geometries,
    crs: Crs,
    frame: Frame,
    buffer: float | None,
) -> tuple[Geometries, npt.NDArray[np.intp]]:
    """Return the geometries that may meet an image, in its pixels, and their indices.

    Args:
        geometries: single polygons, lines and points [N] in `crs`.
        crs: rasterio's coordinate reference system; None for coordinates in the image's pixels.
        frame: the image; x is 0 at its left border and its width at the right one, y grows downward.
        buffer: distance around lines and points, on the ground in m, or in px without a `crs`; None leaves them as they
            are.

    Raises:
        DataError: If the image has no georeference, or there is no transformation between the two systems.
    """
    import shapely

    if crs is None:
        wide = geometries.copy()
        thin = shapely.get_dimensions(wide) < 2
        if buffer is not None:
            wide[thin] = shapely.buffer(wide[thin], buffer)
        return wide, np.arange(len(wide))
    require_georeference(frame)
    thick = buffer is not None and bool((shapely.get_dimensions(geometries) < 2).any())
    local = _local(frame) if thick or crs != frame.crs else None
    extent = _extent(frame, crs, local, buffer or 0)
    near = np.flatnonzero(_meet(geometries, extent))
    moved = geometries[near]
    if crs != frame.crs:
        moved, near = _cut(moved, near, extent)
        step = _STRAIGHT * max(
            (extent[2] - extent[0]) / frame.width, (extent[3] - extent[1]) / frame.height
        )
        moved = _warped(shapely.segmentize(moved, step), crs, frame.crs)
    if thick and buffer is not None:
        thin = shapely.get_dimensions(moved) < 2
        wide = shapely.buffer(_warped(moved[thin], frame.crs, local), buffer)
        moved[thin] = _warped(wide, local, frame.crs)
    return _in_pixels(moved, frame), near


def _local(frame: Frame) -> Crs:
    """A CRS in meters around the center of the image, whose distances are true from there."""
    from rasterio.crs import CRS

    bounds = frame.bounds_in(CRS.from_user_input(_WGS84))
    if bounds is None:
        raise _no_way(frame.crs, _WGS84)
    longitude, latitude = (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2
    return CRS.from_user_input(
        f"+proj=aeqd +lat_0={latitude!r} +lon_0={longitude!r} +datum=WGS84 +units=m"
    )


def _extent(frame: Frame, crs: Crs, local: Crs, buffer: float) -> Bounds:
    """The bounds of the image and of the buffer around it, with a margin, in `crs`."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError
    from rasterio.warp import transform_bounds

    bounds = frame.bounds if local is None else frame.bounds_in(local)
    if bounds is None:
        raise _no_way(frame.crs, local)
    west, south, east, north = bounds
    margin = buffer + _MARGIN * max(east - west, north - south)
    bounds = west - margin, south - margin, east + margin, north + margin
    if local is None:
        return bounds
    try:
        west, south, east, north = transform_bounds(local, crs, *bounds)
    except (RasterioError, CPLE_BaseError):
        raise _no_way(local, crs) from None
    # Around the antimeridian the western longitude is the larger one.
    return (west, south, east, north) if west <= east else (-180.0, south, 180.0, north)


def _meet(geometries: Geometries, extent: Bounds) -> npt.NDArray[np.bool_]:
    import shapely

    bounds = shapely.bounds(geometries)
    west, south, east, north = extent
    meet: npt.NDArray[np.bool_] = (
        (bounds[:, 0] <= east)
        & (bounds[:, 2] >= west)
        & (bounds[:, 1] <= north)
        & (bounds[:, 3] >= south)
    )
    return meet


def _cut(
    geometries: Geometries, index: npt.NDArray[np.intp], extent: Bounds
) -> tuple[Geometries, npt.NDArray[np.intp]]:
    """Cut geometries at the extent: far parts may lie outside of the other CRS."""
    import shapely

    cut = shapely.intersection(geometries, shapely.box(*extent))
    parts, inner = shapely.get_parts(cut, return_index=True)
    same = shapely.get_dimensions(parts) == shapely.get_dimensions(geometries)[inner]
    kept = same & ~shapely.is_empty(parts)
    return parts[kept], index[inner[kept]]


def _warped(geometries: Geometries, source: Crs, target: Crs) -> Geometries:
    import shapely
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError
    from rasterio.warp import transform

    if not len(geometries):
        return geometries
    xy = shapely.get_coordinates(geometries)
    try:
        moved = np.column_stack(transform(source, target, xy[:, 0], xy[:, 1]))
    except (RasterioError, CPLE_BaseError):
        raise _no_way(source, target) from None
    if not np.isfinite(moved).all():
        raise _no_way(source, target)
    warped: Geometries = shapely.set_coordinates(geometries.copy(), moved)
    return warped


def _in_pixels(geometries: Geometries, frame: Frame) -> Geometries:
    import shapely

    a, b, c, d, e, f = (~frame.transform)[:6]
    xy = shapely.get_coordinates(geometries)
    x, y = xy[:, 0], xy[:, 1]
    pixels = np.column_stack([a * x + b * y + c, d * x + e * y + f])
    moved: Geometries = shapely.set_coordinates(geometries.copy(), pixels)
    return moved


def _no_way(source: object, target: object) -> DataError:
    return DataError(
        f"coordinates cannot be transformed from {source} to {target}",
        remedy="export the labels in the CRS of the image, or correct the CRS of the one that is wrong",
    )
