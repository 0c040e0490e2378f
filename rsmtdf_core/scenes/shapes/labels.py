"""Read the labels of an image with the settings that give them class ids (tests: test_mask.py)."""

from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from threading import RLock

import numpy as np

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.shapes.annotations import AnnotationFile, Size
from rsmtdf_core.scenes.shapes.features import (
    UNOUTLINED,
    Layer,
    Note,
    clean,
    digest_of,
    require_geo,
    require_known,
)
from rsmtdf_core.scenes.shapes.formats import read_annotations
from rsmtdf_core.scenes.shapes.settings import AnnotatedArea, AnnotationMasks, ShapeMasks
from rsmtdf_core.scenes.shapes.vector import Stamp, described, read_layer, stamp
from rsmtdf_core.words import counted

_READING = RLock()


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of a file, or of an image in a file, with the settings that give them class ids.

    Attributes:
        path: the file.
        layer: its features.
        area: polygons of the annotated area, if they are features; None without such an area.
        encoding: the settings.
        names: the names of the classes.
        ignore_id: the id of ignored pixels.
        listed: whether the file has labels of the image; True if they are in map coordinates.
    """

    path: Path
    layer: Layer
    area: Layer | None
    encoding: ShapeMasks | AnnotationMasks
    names: tuple[str, ...]
    ignore_id: int
    listed: bool = True

    @property
    def digest(self) -> tuple[str, ...]:
        """Digests of all features that decide the class ids."""
        return (self.layer.digest, *(() if self.area is None else (self.area.digest,)))

    @property
    def notes(self) -> tuple[Note, ...]:
        """Facts about features that are not used as they are in the file."""
        if self.layer.crs is None:
            return self.layer.notes
        area = () if self.area is None or self.area is self.layer else self.area.notes
        around = (replace(note, text=f"annotated area: {note.text}") for note in area)
        return (*described(self.layer), *around)


def read_labels(
    path: Path, area: Path | None, encoding: ShapeMasks, names: tuple[str, ...], ignore_id: int
) -> Labels:
    """Read the labels of a file in map coordinates; recent ones are cached until their files change.

    Args:
        path: the file of the labels, or a folder of them.
        area: the file of the annotated area, if it is another one.
        encoding: the settings.
        names: the names of the classes.
        ignore_id: the id of ignored pixels.

    Raises:
        MissingFileError: If a file is missing.
        DataError: If a file cannot be read, has values that no class has, or lines without a buffer.
    """
    stamps = (stamp(path), None if area is None else stamp(area))
    with _READING:  # threads that need one file wait for one reading
        return _read_labels(path, area, stamps, encoding.model_dump_json(), names, ignore_id)


@lru_cache(maxsize=16)
def _read_labels(
    path: Path,
    area: Path | None,
    stamps: tuple[Stamp, Stamp | None],  # noqa: ARG001 - part of the cache's key
    settings: str,
    names: tuple[str, ...],
    ignore_id: int,
) -> Labels:
    encoding = ShapeMasks.model_validate_json(settings)
    annotated = encoding.annotated if isinstance(encoding.annotated, AnnotatedArea) else None
    without = annotated.layer if annotated is not None and annotated.file is None else None
    layer = read_layer(path, encoding.layer, encoding.field, encoding.crs, without)
    _require_buffer(layer, encoding, path)
    if encoding.field is not None:
        known = {*names, *encoding.values, *encoding.ignore, *encoding.marks}
        noun = f"values of the field '{encoding.field}'"
        require_known(Counter(layer.values.tolist()), known, path, noun)
    if annotated is None or encoding.marks:
        around = _marked(layer, encoding)
    else:
        around = read_layer(area or path, annotated.layer, None, encoding.crs)
        _require_polygons(around, area or path)
    return Labels(path, layer, around, encoding, names, ignore_id)


def read_image_labels(
    path: Path,
    image: str,
    frame: Frame,
    encoding: AnnotationMasks,
    names: tuple[str, ...],
    ignore_id: int,
) -> Labels:
    """Read the labels of an image in a file of an annotation tool; recent ones are cached until the file changes.

    Args:
        path: the file of the labels.
        image: posix path of the image relative to the data root.
        frame: its size.
        encoding: the settings.
        names: the names of the classes.
        ignore_id: the id of ignored pixels.

    Raises:
        MissingFileError: If the file is missing.
        DataError: If it cannot be read, has values that no class has, lists the image twice or with another size, or
            has lines without a buffer.
    """
    require_geo(path, "shapely")
    size = frame.width, frame.height
    with _READING:
        return _read_image_labels(
            path, stamp(path), image, size, encoding.model_dump_json(), names, ignore_id
        )


@lru_cache(maxsize=64)
def _read_image_labels(
    path: Path,
    stamped: Stamp,  # noqa: ARG001 - part of the cache's key
    image: str,
    size: Size,
    settings: str,
    names: tuple[str, ...],
    ignore_id: int,
) -> Labels:
    encoding = AnnotationMasks.model_validate_json(settings)
    file = read_annotations(path, encoding.encoding)
    known = {*names, *encoding.values, *encoding.ignore, *encoding.marks, UNOUTLINED}
    require_known(file.counts, known, path, file.noun)
    layer = _layer_of(file, image, size)
    if layer is None:
        blank = Layer(np.empty(0, object), np.empty(0, np.str_), None, "unlisted", file.notes)
        return Labels(path, blank, None, encoding, names, ignore_id, listed=False)
    _require_buffer(layer, encoding, path)
    return Labels(path, layer, _marked(layer, encoding), encoding, names, ignore_id)


def _layer_of(file: AnnotationFile, image: str, size: Size) -> Layer | None:
    """Return the shapes of an image in its pixels; None if the file does not list it."""
    entry = file.find(image)
    if entry is None:
        return None
    entry.require_size(size, image, file.path)
    shapes = file.shapes(entry, size)
    geometries, values, notes = clean(shapes.geometries, shapes.values, shapes.names, "shape")
    digest = digest_of(geometries, values.tolist(), "pixels")
    return Layer(geometries, values, None, digest, (*file.notes_on(image, entry), *notes))


def _marked(layer: Layer, encoding: ShapeMasks | AnnotationMasks) -> Layer | None:
    """Return the features that mark the annotated area; None if no value marks it."""
    if not encoding.marks:
        return None
    marked = np.isin(layer.values, encoding.marks)
    return replace(
        layer, geometries=layer.geometries[marked], values=layer.values[marked], notes=()
    )


def _require_buffer(layer: Layer, encoding: ShapeMasks | AnnotationMasks, path: Path) -> None:
    import shapely

    thin = int((shapely.get_dimensions(layer.geometries) < 2).sum())
    if thin and encoding.buffer is None:
        unit = "pixels" if layer.crs is None else "meters"
        raise DataError(
            f"{thin} of {counted(len(layer.geometries), 'shape')} are lines or points, which have no area without a "
            "buffer",
            where=path,
            remedy=f"set mask_encoding.buffer in the manifest, the distance around them in {unit}, or remove them",
        )


def _require_polygons(layer: Layer, path: Path) -> None:
    import shapely

    thin = int((shapely.get_dimensions(layer.geometries) < 2).sum())
    if thin or not len(layer.geometries):
        raise DataError(
            f"the annotated area needs polygons, found {counted(thin, 'line or point')}"
            if thin
            else "the annotated area has no polygon",
            where=path,
            remedy="draw the area as polygons, or correct mask_encoding.annotated in the manifest",
        )
