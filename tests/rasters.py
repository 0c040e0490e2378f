"""GeoTIFFs for tests."""

from pathlib import Path

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")

CRS = "EPSG:32640"
TRANSFORM = rasterio.Affine(0.5, 0, 400_000, 0, -0.5, 2_800_000)


def write_tiff(path: Path, values: np.ndarray, **profile) -> Path:
    """Write bands [C, H, W], tiled, by default in UTM zone 40."""
    bands, height, width = values.shape
    shape = {"count": bands, "height": height, "width": width, "dtype": values.dtype.name}
    georeference = {
        "driver": "GTiff",
        "crs": CRS,
        "transform": TRANSFORM,
        "tiled": True,
        "blockxsize": 64,
        "blockysize": 64,
    }
    with rasterio.open(path, "w", **(shape | georeference | profile)) as dataset:
        dataset.write(values)
    return path


def ramp(bands: int, height: int, width: int, dtype: type = np.uint16) -> np.ndarray:
    """Values 1000 b + 10 y + x [C, H, W], which differ for every pixel and band."""
    b, y, x = np.mgrid[1 : bands + 1, :height, :width]
    return (1000 * b + 10 * y + x).astype(dtype)


def halved(path: Path) -> Path:
    """Cut a file in the middle."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path
