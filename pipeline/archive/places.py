"""The places of views: boxes in the pixels of their images, and polygons in longitude and latitude."""

import json
from collections.abc import Iterable, Mapping
from math import ceil, floor
from pathlib import Path
from typing import Any

from rsmtdf_core.files import atomic_file
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.views.known import SceneKey
from rsmtdf_core.views.view import Box, View

WGS84 = "EPSG:4326"
_DIGITS = 7  # of a degree: about a centimeter


def view_box(view: View, scene: SceneKey, crop: int) -> Box:
    """Return the part of a scene that a view shows, px of the scene, rounded outward."""
    geometry = view.geometry
    right = min(geometry.left + crop, geometry.width)
    bottom = min(geometry.top + crop, geometry.height)
    across, down = scene.width / geometry.width, scene.height / geometry.height
    # The small addend corrects binary rounding.
    left, top = floor(geometry.left * across + 1e-6), floor(geometry.top * down + 1e-6)
    width = min(scene.width, ceil(right * across - 1e-6)) - left
    height = min(scene.height, ceil(bottom * down - 1e-6)) - top
    return Box(left, top, width, height)


def in_image(box: Box, scene: SceneKey) -> Box:
    """Return a box of a scene in the px of its image, of which the scene may be a window."""
    left, top = (0, 0) if scene.window is None else scene.window[:2]
    return Box(box.left + left, box.top + top, box.width, box.height)


def polygon(box: Box, frame: Frame) -> dict[str, Any] | None:
    """Return a box of an image as a GeoJSON polygon in longitude and latitude; None without a georeference."""
    if frame.bounds_in(WGS84) is None:
        return None
    from rasterio.warp import transform_geom

    right, bottom = box.left + box.width, box.top + box.height
    # Counterclockwise for an image with north at the top, as RFC 7946 recommends.
    corners = [(box.left, box.top), (box.left, bottom), (right, bottom), (right, box.top)]
    a, b, c, d, e, f = frame.transform[:6]
    ring = [(a * x + b * y + c, d * x + e * y + f) for x, y in [*corners, corners[0]]]
    shape = {"type": "Polygon", "coordinates": [ring]}
    geometry: dict[str, Any] = transform_geom(frame.crs, WGS84, shape, precision=_DIGITS)
    return geometry


def write_features(
    path: Path, features: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> None:
    """Write pairs of geometry and properties as a GeoJSON file."""
    collection = {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "properties": dict(properties), "geometry": dict(geometry)}
            for geometry, properties in features
        ],
    }
    with atomic_file(path) as file:
        file.write(json.dumps(collection, indent=1).encode())
