"""Write the areas of a map as polygons with class, area and confidence: GeoPackage (needs the extra `geo`)."""

import io
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from rsmtdf_core.files import atomic_file
from rsmtdf_core.maps.areas import find_areas, on_ground, square_meters
from rsmtdf_core.maps.ground import equal_area_crs
from rsmtdf_core.maps.polygons import Generalization, require_place
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.images.gdal_decoder import open_dataset


def write_geopackage(
    path: Path,
    id_map: Path,
    confidence: Path,
    names: Sequence[str],
    generalization: Generalization,
) -> int:
    """Write a polygon for each area of a class in a GeoTIFF of ids, and return the number of polygons.

    The layer is named like the map and has its CRS. Fields: `class`, `id`, `area_m2` on the WGS 84 ellipsoid, and
    `confidence`, the mean of the largest probability over the area's pixels.

    Args:
        path: the file.
        id_map: the map.
        confidence: the map's confidence layer.
        names: names of the classes, by id.
        generalization: smallest area and simplification.

    Raises:
        DataError: If the map has no coordinate reference system, or a file cannot be read.
        WriteError: If the file cannot be written.
    """
    import pyogrio
    import shapely

    with open_dataset(id_map) as dataset:
        frame = Frame(dataset.width, dataset.height, dataset.crs, dataset.transform)
    require_place(id_map, frame)
    areas = find_areas(
        id_map,
        len(names),
        least=generalization.least_pixels(frame),
        tolerance=generalization.tolerance(frame),
        confidence=confidence,
    )
    polygons = on_ground(areas.polygons, frame.transform)
    fields = {
        "class": np.array([names[number] for number in areas.ids], object),
        "id": areas.ids,
        "area_m2": np.round(square_meters(polygons, frame.crs, equal_area_crs(frame)), 2),
        "confidence": np.round(areas.confidences, 4),
    }
    content = io.BytesIO()  # GDAL refuses the name of a temporary file
    pyogrio.raw.write(
        content,
        shapely.to_wkb(polygons),
        list(fields.values()),
        list(fields),
        driver="GPKG",
        layer=id_map.stem,
        geometry_type="Polygon",
        crs=frame.crs.to_wkt(),
    )
    with atomic_file(path) as file:
        file.write(content.getbuffer())
    return len(polygons)


def is_geopackage(path: Path) -> bool:
    """Whether a file is a complete SQLite database with the contents of a GeoPackage."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            (state,) = database.execute("PRAGMA quick_check").fetchone()
            database.execute("SELECT count(*) FROM gpkg_contents").fetchone()
    except sqlite3.Error:
        return False
    return bool(state == "ok")
