"""Read COCO instances: polygons and run lengths of all images in one JSON file (tests: test_coco.py)."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, BaseModel, FiniteFloat

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.shapes.annotations import AnnotationFile, Entry, Shapes, Size
from rsmtdf_core.scenes.shapes.bitmaps import decode_runs, decode_text, outline
from rsmtdf_core.scenes.shapes.features import UNOUTLINED, Geometry, Note

Id = int | str


def _pairs(ring: list[float]) -> list[float]:
    if len(ring) % 2:
        raise ValueError("an outline has an odd number of coordinates")
    return ring


_Ring = Annotated[list[FiniteFloat], AfterValidator(_pairs)]


class _Runs(BaseModel):
    size: tuple[int, int]
    counts: list[int] | str


class _Annotation(BaseModel):
    id: Id | None = None
    image_id: Id
    category_id: Id
    segmentation: list[_Ring] | _Runs | None = None
    bbox: list[FiniteFloat] | None = None

    @property
    def name(self) -> str:
        return f"annotation {self.id}"

    @property
    def is_box(self) -> bool:
        """Whether it has a box but no outline."""
        return not self.segmentation and self.bbox is not None and len(self.bbox) == 4


class _Image(BaseModel):
    id: Id
    file_name: str
    width: int | None = None
    height: int | None = None


class _Category(BaseModel):
    id: Id
    name: str


class Document(BaseModel):
    """The parts of a COCO file that decide the labels; others are skipped."""

    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def interpret(document: Document, path: Path) -> AnnotationFile:
    """Return the labels of a file.

    Crowds are drawn like single objects. Annotations with only a box have no outline: pixels in the box are ignored.

    Raises:
        DataError: If an annotation names an image or category that the file lacks, or all of them are boxes.
    """
    categories = {category.id: category.name for category in document.categories}
    numbers = {image.id: number for number, image in enumerate(document.images)}
    if len(numbers) < len(document.images):
        raise _wrong("several images have the same id", path)
    members: defaultdict[int, list[_Annotation]] = defaultdict(list)
    for annotation in document.annotations:
        if annotation.image_id not in numbers:
            raise _wrong(
                f"{annotation.name} is of the image {annotation.image_id}, which is missing", path
            )
        if annotation.category_id not in categories:
            raise _wrong(
                f"{annotation.name} has the category {annotation.category_id}, which is missing",
                path,
            )
        members[numbers[annotation.image_id]].append(annotation)
    boxes = [annotation for annotation in document.annotations if annotation.is_box]
    if boxes and len(boxes) == len(document.annotations):
        raise DataError(
            f"all {len(boxes)} annotations are boxes without an outline, as for object detection",
            where=path,
            remedy="draw outlines, or export polygons or masks",
        )
    outlined = (annotation for annotation in document.annotations if not annotation.is_box)

    def shapes(entry: Entry, size: Size) -> Shapes:
        own = members.get(entry.number, ())
        return Shapes(
            np.array([_geometry(annotation, size, path) for annotation in own], object),
            [
                UNOUTLINED if annotation.is_box else categories[annotation.category_id]
                for annotation in own
            ],
            [annotation.name for annotation in own],
        )

    return AnnotationFile(
        path=path,
        noun="categories",
        entries=tuple(map(_entry, range(len(document.images)), document.images)),
        counts=Counter(categories[annotation.category_id] for annotation in outlined),
        nonempty=frozenset(members),
        shapes=shapes,
        notes=_notes(boxes),
    )


def _entry(number: int, image: _Image) -> Entry:
    size = (image.width, image.height) if image.width and image.height else None
    return Entry(number, image.file_name, size)


def _notes(boxes: Sequence[_Annotation]) -> tuple[Note, ...]:
    if not boxes:
        return ()
    text = "{count} without an outline, such as {example}: pixels in these boxes are ignored"
    return (Note(text, len(boxes), "box annotation", boxes[0].name),)


def _geometry(annotation: _Annotation, size: Size, path: Path) -> Geometry | None:
    """Return the geometry of an annotation; None if it has none."""
    import shapely

    segmentation = annotation.segmentation
    if isinstance(segmentation, _Runs):
        height, width = segmentation.size
        if (width, height) != size:
            raise _wrong(
                f"the mask of {annotation.name} has {width} x {height} px, its image {size[0]} x {size[1]} px",
                path,
            )
        counts = segmentation.counts
        try:
            runs = decode_text(counts) if isinstance(counts, str) else counts
            bitmap, left = decode_runs(runs, height, width)
        except ValueError as error:
            raise _wrong(f"{annotation.name}: {error}", path) from None
        return outline(bitmap, left)
    if annotation.is_box and annotation.bbox is not None:
        x, y, across, down = annotation.bbox
        return shapely.box(x, y, x + across, y + down)
    rings = [np.array(ring).reshape(-1, 2) for ring in segmentation or () if len(ring) >= 6]
    return shapely.geometrycollections([shapely.Polygon(ring) for ring in rings]) if rings else None


def _wrong(what: str, path: Path) -> DataError:
    return DataError(what, where=path, remedy="export the annotations again, as COCO instances")
