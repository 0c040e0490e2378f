"""Read LabelMe: a JSON file for each image (tests: test_labelme.py)."""

import base64
import io
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import BaseModel, Field, FiniteFloat

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.shapes.annotations import AnnotationFile, Entry, Shapes, Size
from rsmtdf_core.scenes.shapes.bitmaps import outline
from rsmtdf_core.scenes.shapes.features import Geometry
from rsmtdf_core.words import shortened

_POLYGONS = ("polygon", "rotation", "oriented_rectangle")
_LINES = ("line", "linestrip")
_POINTS = ("point", "points")
_FEWEST = {"polygon": 3, "rectangle": 2, "circle": 2, "line": 2, "linestrip": 2, "mask": 2}


class _Shape(BaseModel):
    label: str | None = None
    points: list[tuple[FiniteFloat, FiniteFloat]]
    shape_type: str | None = None
    mask: str | None = None

    @property
    def kind(self) -> str:
        return self.shape_type or "polygon"


class Document(BaseModel):
    """The parts of a LabelMe file that decide the labels; the embedded image is skipped."""

    shapes: list[_Shape]
    image: str | None = Field(default=None, alias="imagePath")
    width: int | None = Field(default=None, alias="imageWidth")
    height: int | None = Field(default=None, alias="imageHeight")


def interpret(document: Document, path: Path) -> AnnotationFile:
    """Return the labels of a file.

    Raises:
        DataError: If a shape is of an unknown type.
    """
    names = [f"shape {number}" for number in range(1, len(document.shapes) + 1)]
    values = [shape.label or "" for shape in document.shapes]

    def shapes(entry: Entry, size: Size) -> Shapes:  # noqa: ARG001 - the only image
        geometries = np.empty(len(names), object)
        for number, (name, shape) in enumerate(zip(names, document.shapes, strict=True)):
            geometries[number] = _geometry(shape, name, path)
        return Shapes(geometries, values, names)

    size = (document.width, document.height) if document.width and document.height else None
    return AnnotationFile(
        path=path,
        noun="labels",
        entries=(Entry(0, document.image or "", size),),
        counts=Counter(values),
        nonempty=frozenset({0} if values else ()),
        shapes=shapes,
        paired=True,
    )


def _geometry(shape: _Shape, name: str, path: Path) -> Geometry | None:
    """Return the geometry of a shape; None if it has too few points."""
    import shapely

    points = np.array(shape.points).reshape(-1, 2)
    if len(points) < _FEWEST.get(shape.kind, 1):
        return None
    if shape.kind in _POLYGONS:
        return shapely.Polygon(points) if len(points) >= _FEWEST["polygon"] else None
    if shape.kind == "rectangle":
        return shapely.box(*points.min(axis=0), *points.max(axis=0))
    if shape.kind == "circle":
        center, border = points[:2]
        return shapely.Point(center).buffer(float(np.hypot(*(border - center))), quad_segs=32)
    if shape.kind in _LINES:
        return shapely.LineString(points)
    if shape.kind in _POINTS:
        return shapely.MultiPoint(points)
    if shape.kind == "mask":
        left, top = (int(value) for value in np.rint(points.min(axis=0)))
        return outline(_bitmap(shape, points, name, path), left, top)
    raise DataError(
        f"{name} is of the unknown type '{shortened(shape.kind, 40)}'",
        where=path,
        remedy="draw it as a polygon, rectangle, circle, line, linestrip, point or mask",
    )


def _bitmap(
    shape: _Shape, points: npt.NDArray[np.float64], name: str, path: Path
) -> npt.NDArray[np.bool_]:
    """Decode the bitmap of a shape, which fills its box."""
    box = np.rint(np.ptp(points, axis=0)).astype(int) + 1
    try:
        with Image.open(io.BytesIO(base64.b64decode(shape.mask or "", validate=True))) as picture:
            if np.abs(np.array(picture.size) - box).max() <= 1:
                return np.asarray(picture.convert("L")) > 0
    except (OSError, ValueError, Image.DecompressionBombError):  # the same for the user
        pass
    raise DataError(
        f"the mask of {name} is no picture of {box[0]} x {box[1]} px",
        where=path,
        remedy="save the file again with LabelMe",
    )
