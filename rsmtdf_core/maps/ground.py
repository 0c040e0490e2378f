"""Sizes on the ground, in meters, of pixels and areas of a georeferenced raster."""

from rsmtdf_core.scenes.images.frame import Crs, Frame


def equal_area_crs(frame: Frame) -> Crs:
    """Return a CRS in meters whose areas are those on the WGS 84 ellipsoid: Lambert's, around the raster's middle.

    The frame must have bounds in longitude and latitude.
    """
    from rasterio.crs import CRS

    bounds = frame.bounds_in("EPSG:4326")
    assert bounds is not None, "the raster has no longitude and latitude"
    west, south, east, north = bounds
    middle = (south + north) / 2, (west + east) / 2
    return CRS.from_proj4(
        f"+proj=laea +lat_0={middle[0]:.6f} +lon_0={middle[1]:.6f} +datum=WGS84 +units=m"
    )


def pixel_size(frame: Frame) -> float | None:
    """Return the longer side of a pixel in meters; None without a georeference.

    In a projected CRS that is the side in the CRS, as GIS programs use it: Web Mercator's meters, for example, are
    shorter than meters on the ground. In degrees, it is the side on the ground in the middle of the raster.
    """
    if frame.bounds_in("EPSG:4326") is None:
        return None
    a, _, _, _, e = frame.transform[:5]
    if frame.crs.is_projected:
        return float(max(abs(a), abs(e)) * frame.crs.linear_units_factor[1])
    left, bottom, right, top = frame.bounds_in(equal_area_crs(frame)) or (0.0, 0.0, 0.0, 0.0)
    return max((right - left) / frame.width, (top - bottom) / frame.height)


def pixel_area(frame: Frame) -> float:
    """Return the area on the ground, m2, of the pixel in the raster's middle; the frame must have bounds."""
    from rasterio.warp import transform

    # The vectors of a step to the right and of one down, at the middle.
    a, b, c, d, e, f = frame.transform[:6]
    column, row = frame.width / 2, frame.height / 2
    x, y = a * column + b * row + c, d * column + e * row + f
    xs, ys = transform(frame.crs, equal_area_crs(frame), [x, x + a, x + b], [y, y + d, y + e])
    return float(abs((xs[1] - xs[0]) * (ys[2] - ys[0]) - (xs[2] - xs[0]) * (ys[1] - ys[0])))
