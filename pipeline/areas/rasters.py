"""Reads GeoTIFFs of class ids by rows, with their grid and the area of a pixel (tests: test_run.py)."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from rsmtdf_core.arrays import Mask, Pixels
from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.images.gdal_decoder import RasterioDataset, gdal_errors, open_dataset

_TAG = re.compile(r"class_([0-9]{1,3})")
_HECTARE = 1e4  # square meters
_TOLERANCE = 1e-3  # of a pixel


class IdRaster:
    """An open raster of class ids.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path, dataset: RasterioDataset) -> None:
        self.path = path
        self._dataset = dataset

    @property
    def height(self) -> int:
        """Rows, px."""
        return int(self._dataset.height)

    def read(self, top: int, rows: int) -> tuple[Pixels, Mask]:
        """Read rows: ids, uint8 [rows, width], and where they have data and fit in 0 to 254."""
        window = ((top, top + rows), (0, self._dataset.width))
        with gdal_errors(self.path):
            values = self._dataset.read(1, window=window)
            valid = self._dataset.read_masks(1, window=window) > 0
        valid &= (values >= 0) & (values < 255)
        return np.where(valid, values, 255).astype(np.uint8), valid

    @property
    def pixel_area(self) -> tuple[float, str]:
        """The area of a pixel: in hectares with a projected coordinate reference system, else 1 px."""
        crs = self._dataset.crs
        if crs is None or not crs.is_projected:
            return 1.0, "px"
        _, meters = crs.linear_units_factor
        return abs(self._dataset.transform.determinant) * meters**2 / _HECTARE, "ha"

    @property
    def class_names(self) -> list[str]:
        """The class names in the tags of a map, by id.

        Raises:
            DataError: If the file is not a map of `predict`.
        """
        tags = {
            int(match[1]): name
            for key, name in self._dataset.tags().items()
            if (match := _TAG.fullmatch(key))
        }
        if not tags or sorted(tags) != list(range(len(tags))):
            raise DataError(
                "the map does not name its classes",
                where=self.path,
                remedy="give a GeoTIFF that `rsmtdf predict` wrote",
            )
        return [tags[number] for number in range(len(tags))]

    def require_grid_of(self, id_map: "IdRaster") -> None:
        """Check that a reference raster has the pixels of its map.

        Raises:
            DataError: If sizes, coordinate reference systems or transforms differ.
        """
        grid, expected = self._dataset, id_map._dataset
        remedy = (
            f"rio warp {self.path.name} aligned.tif --like {id_map.path.name} --resampling nearest"
        )
        if grid.shape != expected.shape:
            raise DataError(
                f"expected {expected.width} x {expected.height} px like its map, found {grid.width} x {grid.height}",
                where=self.path,
                remedy=remedy,
            )
        side = max(abs(value) for value in expected.transform[:2])
        shift = max(abs(a - b) for a, b in zip(grid.transform, expected.transform, strict=True))
        if grid.crs != expected.crs or shift > _TOLERANCE * side:
            raise DataError(
                "the raster covers another area than its map", where=self.path, remedy=remedy
            )


@contextmanager
def open_ids(path: Path) -> Iterator[IdRaster]:
    """Open a GeoTIFF of class ids.

    Raises:
        MissingFileError: If the file is missing.
        DataError: If the file is not a GeoTIFF, is truncated, or its first band holds no integers.
    """
    if not path.is_file():
        raise MissingFileError("the raster does not exist", where=path, remedy="correct the path")
    with open_dataset(path) as dataset:
        kind = dataset.dtypes[0]
        if np.dtype(kind).kind not in "ui":
            raise DataError(
                f"expected class ids, found values of type {kind}",
                where=path,
                remedy="give a raster of whole numbers from 0 to 254",
            )
        yield IdRaster(path, dataset)
