"""Write a map of class ids as polygons: GeoJSON in longitude and latitude, as RFC 7946 requires."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from pathlib import Path
from typing import Any

from rsmtdf_core.errors import DataError
from rsmtdf_core.files import atomic_file
from rsmtdf_core.maps.areas import find_areas, on_ground
from rsmtdf_core.maps.ground import pixel_area
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.images.gdal_decoder import RasterioDataset, open_dataset
from rsmtdf_core.scenes.images.source import File

_END = b"\n]}\n"
_PLACED = "--polygons, --geopackage and --stac"
_DIGITS = 7  # of a degree: about a centimeter


@dataclass(frozen=True, slots=True)
class Generalization:
    """Choices of how much detail polygons show.

    Attributes:
        min_area: smallest area, m2; a smaller one takes the class of its largest neighbor.
        simplify: size of the corners to remove, m; see `find_areas`.
    """

    min_area: float = 0.0
    simplify: float = 0.0

    def least_pixels(self, frame: Frame) -> int:
        """Return the smallest area in pixels of a raster."""
        return max(1, ceil(self.min_area / pixel_area(frame) - 1e-6)) if self.min_area else 1

    def tolerance(self, frame: Frame) -> float:
        """Return the size of the corners to remove, in pixels of a raster."""
        return self.simplify / sqrt(pixel_area(frame)) if self.simplify else 0.0


EXACT = Generalization()


def write_polygons(
    path: Path, id_map: Path, names: Sequence[str], generalization: Generalization = EXACT
) -> int:
    """Write a polygon for each connected area of a class in a GeoTIFF of ids, and return the number of polygons.

    Pixels are connected by their sides, not by their corners. Areas without data and ids without a name are left out.
    Each feature has `class` and `id`. Coordinates are WGS 84 (EPSG:4326), longitude first.

    Raises:
        DataError: If the map has no coordinate reference system, or cannot be read.
    """
    count = 0
    with open_dataset(id_map) as dataset, atomic_file(path) as file:
        frame = Frame(dataset.width, dataset.height, dataset.crs, dataset.transform)
        require_place(id_map, frame)
        shapes = (
            _shapes(dataset, len(names))
            if generalization == EXACT
            else _generalized(id_map, frame, len(names), generalization)
        )
        file.write(b'{"type": "FeatureCollection", "features": [')
        for feature in _features(shapes, dataset, names):
            file.write(b",\n" if count else b"\n")
            file.write(json.dumps(feature, ensure_ascii=False).encode())
            count += 1
        file.write(_END)
    return count


def is_closed(path: Path) -> bool:
    """Whether a file of `write_polygons` is complete."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(_END)))
        return file.read() == _END


def require_place(path: File, frame: Frame) -> None:
    """Refuse a raster whose pixels have no longitude and latitude.

    Raises:
        DataError: If the raster has no coordinate reference system, or a local one.
    """
    if frame.crs is None and frame.gcps:
        raise DataError(
            "the raster is georeferenced by ground control points, so its outlines would be distorted",
            where=path,
            remedy=f"gdalwarp {path.name} warped.tif, and predict that; or leave out {_PLACED}",
        )
    if frame.bounds is None:
        lacking = "coordinate reference system" if frame.crs is None else "geotransform"
        raise DataError(
            f"the raster has no {lacking}, so its map has no longitude and latitude",
            where=path,
            remedy=f"assign it: rio edit-info --crs EPSG:CODE {path.name}; or leave out {_PLACED}",
        )
    if frame.bounds_in("EPSG:4326") is None:
        raise DataError(
            "the raster's coordinate reference system is local, so its map has no longitude and latitude",
            where=path,
            remedy=f"assign the right one: rio edit-info --crs EPSG:CODE {path.name}; or leave out {_PLACED}",
        )


def _shapes(dataset: RasterioDataset, classes: int) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield the outline of each area in the map's CRS, and its class id."""
    from rasterio import band
    from rasterio.features import shapes

    for shape, value in shapes(band(dataset, 1), transform=dataset.transform, connectivity=4):
        if value < classes:
            yield shape, int(value)


def _generalized(
    id_map: Path, frame: Frame, classes: int, generalization: Generalization
) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield the generalized outline of each area, as `_shapes` does."""
    least, tolerance = generalization.least_pixels(frame), generalization.tolerance(frame)
    areas = find_areas(id_map, classes, least=least, tolerance=tolerance)
    polygons = on_ground(areas.polygons, frame.transform)
    for polygon, number in zip(polygons, areas.ids, strict=True):
        yield polygon.__geo_interface__, int(number)


def _features(
    shapes: Iterator[tuple[dict[str, Any], int]], dataset: RasterioDataset, names: Sequence[str]
) -> Iterator[dict[str, Any]]:
    from rasterio.warp import transform_geom

    for shape, class_id in shapes:
        yield {
            "type": "Feature",
            "properties": {"class": names[class_id], "id": class_id},
            "geometry": transform_geom(dataset.crs, "EPSG:4326", shape, precision=_DIGITS),
        }
