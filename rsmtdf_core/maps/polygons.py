"""Write a map of class ids as polygons: GeoJSON in longitude and latitude, as RFC 7946 requires."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rsmtdf_core.errors import DataError
from rsmtdf_core.files import atomic_file
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.images.gdal_decoder import RasterioDataset, open_dataset

_END = b"\n]}\n"
_DIGITS = 7  # of a degree: about a centimeter


def write_polygons(path: Path, id_map: Path, names: Sequence[str]) -> int:
    """Write a polygon for each connected area of a class in a GeoTIFF of ids, and return the number of polygons.

    Pixels are connected by their sides, not by their corners. Areas without data and ids without a name are left out.
    Each feature has `class` and `id`. Coordinates are WGS 84 (EPSG:4326), longitude first.

    Raises:
        DataError: If the map has no coordinate reference system, or cannot be read.
    """
    count = 0
    with open_dataset(id_map) as dataset, atomic_file(path) as file:
        require_place(id_map, Frame(dataset.width, dataset.height, dataset.crs, dataset.transform))
        file.write(b'{"type": "FeatureCollection", "features": [')
        for feature in _features(dataset, names):
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


def require_place(path: Path, frame: Frame) -> None:
    """Refuse a raster whose pixels have no longitude and latitude.

    Raises:
        DataError: If the raster has no coordinate reference system, or a local one.
    """
    if frame.crs is None and frame.gcps:
        raise DataError(
            "the raster is georeferenced by ground control points, so its polygons would be distorted",
            where=path,
            remedy=f"gdalwarp {path.name} warped.tif, and predict that; or leave out --polygons",
        )
    if frame.bounds is None:
        lacking = "coordinate reference system" if frame.crs is None else "geotransform"
        raise DataError(
            f"the raster has no {lacking}, so its polygons have no coordinates",
            where=path,
            remedy=f"assign it: rio edit-info --crs EPSG:CODE {path.name}; or leave out --polygons",
        )
    if frame.bounds_in("EPSG:4326") is None:
        raise DataError(
            "the raster's coordinate reference system is local, so its polygons have no longitude and latitude",
            where=path,
            remedy=f"assign the right one: rio edit-info --crs EPSG:CODE {path.name}; or leave out --polygons",
        )


def _features(dataset: RasterioDataset, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    from rasterio import band
    from rasterio.features import shapes
    from rasterio.warp import transform_geom

    for shape, value in shapes(band(dataset, 1), transform=dataset.transform, connectivity=4):
        class_id = int(value)
        if class_id >= len(names):
            continue
        yield {
            "type": "Feature",
            "properties": {"class": names[class_id], "id": class_id},
            "geometry": transform_geom(dataset.crs, "EPSG:4326", shape, precision=_DIGITS),
        }
