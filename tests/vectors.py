"""Files of geometries with classes for tests."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

shapely = pytest.importorskip("shapely")
raw = pytest.importorskip("pyogrio.raw")


def write_vector(
    path: Path,
    geometries: Sequence[object],
    values: Sequence[object] | None = None,
    crs: str = "EPSG:32640",
    **how,
) -> Path:
    """Write features with the attribute `class`, if there are values; the suffix names the format."""
    fields = [] if values is None else ["class"]
    texts = values is not None and any(value is None or isinstance(value, str) for value in values)
    column = [] if values is None else [np.array(values, object if texts else None)]
    known = {"geometry_type": "Unknown"} if path.suffix != ".shp" else {"geometry_type": "Polygon"}
    shapes = np.array(shapely.to_wkb(np.array(list(geometries), object)), object)
    raw.write(path, geometry=shapes, field_data=column, fields=fields, crs=crs, **(known | how))
    return path
