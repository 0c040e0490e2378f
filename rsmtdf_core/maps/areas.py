"""Polygons of a map of class ids, in pixels: connected areas of a class, generalized and measured (needs shapely).

Coordinates are columns and rows from the upper left corner, so shared edges are exactly equal until they are moved to
the ground by the map's transform.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsmtdf_core.scenes.images.frame import Crs, Transform
from rsmtdf_core.scenes.images.gdal_decoder import RasterioDataset, open_dataset

_ROWS = 1024  # of a raster in memory at a time
Geometries = npt.NDArray[np.object_]


class Areas(NamedTuple):
    """Connected areas.

    Attributes:
        ids: class id of each area, int64 [N].
        polygons: shapely polygons [N].
        confidences: mean of the confidence in 0..1 over the pixels of each area, float64 [N]; NaN without a layer.
    """

    ids: npt.NDArray[np.int64]
    polygons: Geometries
    confidences: npt.NDArray[np.float64]


def find_areas(
    id_map: Path,
    classes: int,
    *,
    least: int = 1,
    tolerance: float = 0.0,
    confidence: Path | None = None,
) -> Areas:
    """Find the areas of each class; pixels are connected by their sides.

    The map is held in memory, a byte for each pixel.

    Args:
        id_map: GeoTIFF of class ids; ids from `classes` on are left out.
        classes: number of classes.
        least: smallest area, px. A smaller one takes the class of its largest neighbor; without a neighbor it is left
            out.
        tolerance: degree of simplification, px: corners that enclose less than its square with their neighbors are
            removed. Shared borders stay shared (Visvalingam-Whyatt on a coverage).
        confidence: GeoTIFF of probabilities, scaled by the file's scale.

    Raises:
        DataError: If a file cannot be read.
    """
    import shapely

    with ExitStack() as stack:
        dataset = stack.enter_context(open_dataset(id_map))
        ids, polygons = _polygons(dataset, classes, least)
        confidences = np.full(len(ids), np.nan)
        if confidence is not None and len(ids):
            layer = stack.enter_context(open_dataset(confidence))
            confidences = _means(layer, polygons)
    if tolerance > 0 and len(ids):
        # Vertices at all pixel corners: borders are then equal on both sides, also where a third area begins.
        corners = shapely.transform(shapely.segmentize(polygons, 1.0), np.rint)
        polygons = shapely.coverage_simplify(corners, tolerance)
    return Areas(ids, polygons, confidences)


def _polygons(
    dataset: RasterioDataset, classes: int, least: int
) -> tuple[npt.NDArray[np.int64], Geometries]:
    import shapely
    from rasterio import Affine
    from rasterio.features import shapes

    # An array: of a band, rasterio yields coordinates in the CRS, which are not exact.
    source = _sieved(dataset, classes, least) if least > 1 else dataset.read(1)
    ids, polygons = [], []
    for shape, value in shapes(source, connectivity=4, transform=Affine.identity()):
        polygon = shapely.geometry.shape(shape)
        if value < classes and polygon.area >= least:
            ids.append(int(value))
            polygons.append(polygon)
    outlines = np.empty(len(polygons), object)
    outlines[:] = polygons
    return np.array(ids, np.int64), outlines


def _sieved(dataset: RasterioDataset, classes: int, least: int) -> npt.NDArray[np.uint8]:
    """Return the map without small areas; ids without a class stay and take no others."""
    from rasterio.features import sieve

    ids: npt.NDArray[np.uint8] = dataset.read(1)
    merged: npt.NDArray[np.uint8] = sieve(ids, least, mask=ids < classes, connectivity=4)
    return np.where(ids < classes, merged, ids)


def _means(layer: RasterioDataset, polygons: Geometries) -> npt.NDArray[np.float64]:
    """Return the mean of a layer over the pixels of each polygon, by strips of rows."""
    import shapely
    from rasterio import Affine
    from rasterio.features import rasterize

    bounds = shapely.bounds(polygons)
    sums, counts = np.zeros(len(polygons)), np.zeros(len(polygons))
    for top in range(0, layer.height, _ROWS):
        rows = min(_ROWS, layer.height - top)
        (numbers,) = np.nonzero((bounds[:, 1] < top + rows) & (bounds[:, 3] > top))
        if not len(numbers):
            continue
        owners = rasterize(
            [(polygons[number], number + 1) for number in numbers],
            out_shape=(rows, layer.width),
            transform=Affine.translation(0, top),
            dtype="int32",
        )
        values = layer.read(1, window=((top, top + rows), (0, layer.width)), masked=True)
        known = (owners > 0) & ~np.ma.getmaskarray(values)
        owner = owners[known] - 1
        sums += np.bincount(owner, weights=values.data[known], minlength=len(polygons))
        counts += np.bincount(owner, minlength=len(polygons))
    with np.errstate(invalid="ignore"):  # an area without a known confidence has none
        means: npt.NDArray[np.float64] = sums / counts * layer.scales[0]
    return means


def on_ground(polygons: Geometries, transform: Transform) -> Geometries:
    """Move polygons from pixels to the map's coordinate reference system."""
    import shapely

    a, b, c, d, e, f = transform[:6]
    matrix, shift = np.array([[a, d], [b, e]]), np.array([c, f])
    moved: Geometries = shapely.transform(polygons, lambda points: points @ matrix + shift)
    return moved


def square_meters(polygons: Geometries, crs: Crs, equal_area: Crs) -> npt.NDArray[np.float64]:
    """Return the areas on the ground, m2, of polygons in `crs`, measured in an equal-area CRS, float64 [N]."""
    import shapely
    from rasterio.warp import transform

    def project(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        xs, ys = transform(crs, equal_area, points[:, 0], points[:, 1])
        return np.column_stack([xs, ys])

    areas: npt.NDArray[np.float64] = shapely.area(shapely.transform(polygons, project))
    return areas
