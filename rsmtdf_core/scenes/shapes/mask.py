"""The class ids of an image whose labels are geometries."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.images.orientation import Region
from rsmtdf_core.scenes.shapes.features import Geometries, Layer, require_known
from rsmtdf_core.scenes.shapes.placing import placed
from rsmtdf_core.scenes.shapes.settings import EVERYWHERE, AnnotatedArea, ShapeMasks
from rsmtdf_core.scenes.shapes.vector import Stamp, described, read_layer, stamp
from rsmtdf_core.words import counted

_READING = Lock()


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of a file, with the settings that give them class ids.

    Attributes:
        path: the file.
        layer: its features.
        area: polygons of the annotated area, if they are features; None without such an area.
        encoding: the settings.
        names: the names of the classes.
        ignore_id: the id of ignored pixels.
    """

    path: Path
    layer: Layer
    area: Layer | None
    encoding: ShapeMasks
    names: tuple[str, ...]
    ignore_id: int

    @property
    def digest(self) -> tuple[str, ...]:
        """Digests of all features that decide the class ids."""
        return (self.layer.digest, *(() if self.area is None else (self.area.digest,)))

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on features that are not used as they are in the file."""
        area = () if self.area is None or self.area is self.layer else self.area.notes
        return (*described(self.layer), *(f"annotated area: {note}" for note in area))


def read_labels(
    path: Path, area: Path | None, encoding: ShapeMasks, names: tuple[str, ...], ignore_id: int
) -> Labels:
    """Read the labels of a file; recent ones are cached until their files change.

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
    marks = () if annotated is None else annotated.values
    if encoding.field is not None:
        known = {*names, *encoding.values, *encoding.ignore, *marks}
        require_known(layer, known, path, encoding.field)
    around = None
    if annotated is not None and not marks:
        around = read_layer(area or path, annotated.layer, None, encoding.crs)
        _require_polygons(around, area or path)
    elif marks:
        marked = np.isin(layer.values, marks)
        around = replace(
            layer, geometries=layer.geometries[marked], values=layer.values[marked], notes=()
        )
    return Labels(path, layer, around, encoding, names, ignore_id)


def _require_buffer(layer: Layer, encoding: ShapeMasks, path: Path) -> None:
    import shapely

    thin = int((shapely.get_dimensions(layer.geometries) < 2).sum())
    if thin and encoding.buffer is None:
        raise DataError(
            f"{thin} of {counted(len(layer.geometries), 'shape')} are lines or points, which have no area",
            where=path,
            remedy="set mask_encoding.buffer in the manifest, the distance around them in meters, or remove them",
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


@dataclass(frozen=True, eq=False)
class Drawing:
    """The labels on an image, in its pixels.

    Attributes:
        geometries: polygons [N], the lowest first.
        ids: the class id of each geometry, or the ignored id, uint8 [N].
        area: polygons of the annotated area; None without such an area.
        tree: an index of the geometries by their bounds.
    """

    geometries: Geometries
    ids: npt.NDArray[np.uint8]
    area: Geometries | None
    tree: Any


def _drawing(labels: Labels, frame: Frame) -> Drawing:
    return _drawn_on(labels, frame.width, frame.height, frame.crs, frame.transform)


@lru_cache(maxsize=16)
def _drawn_on(labels: Labels, width: int, height: int, crs: Any, transform: Any) -> Drawing:  # noqa: ANN401
    from shapely import STRtree

    frame = Frame(width, height, crs, transform)
    layer, encoding = labels.layer, labels.encoding
    geometries, index = placed(layer.geometries, layer.crs, frame, encoding.buffer)
    ranks, ids = _ranks_and_ids(labels, layer.values[index])
    order = np.argsort(ranks, kind="stable")
    order = order[ranks[order] >= 0]
    area = labels.area
    around = None if area is None else placed(area.geometries, area.crs, frame, encoding.buffer)[0]
    drawn = geometries[order]
    return Drawing(drawn, ids[order], around, STRtree(drawn))


def _ranks_and_ids(
    labels: Labels, values: npt.NDArray[np.str_]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.uint8]]:
    """Return the place of each shape from the bottom, -1 for those of the annotated area, and its class id."""
    encoding, names = labels.encoding, labels.names
    if encoding.field is None:
        only = names.index(encoding.drawn(names)[0])
        return np.zeros(len(values), np.intp), np.full(len(values), only, np.uint8)
    marks = encoding.annotated.values if isinstance(encoding.annotated, AnnotatedArea) else ()
    ranks = encoding.ranks(names)
    table = {name: (ranks[name], number) for number, name in enumerate(names)}
    table |= {value: table[name] for value, name in encoding.values.items()}
    table |= dict.fromkeys(encoding.ignore, (len(names), labels.ignore_id))
    table |= dict.fromkeys(marks, (-1, labels.ignore_id))
    pairs = np.array([table[value] for value in values.tolist()], np.intp).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1].astype(np.uint8)


class ShapeMask:
    """The mask of an image whose labels are geometries, from `open_shapes`.

    Attributes:
        frame: size and georeference of the image, which the mask shares.
    """

    def __init__(self, labels: Labels, frame: Frame) -> None:
        self.frame: Frame = frame
        self._labels = labels
        self._drawing = _drawing(labels, frame)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, px."""
        return self.frame.width, self.frame.height

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on features that are not used as they are in the file."""
        return self._labels.notes

    @property
    def order(self) -> tuple[str, ...]:
        """The names of the classes, the lowest first."""
        ranks = self._labels.encoding.ranks(self._labels.names)
        return tuple(sorted(ranks, key=ranks.__getitem__))

    @property
    def digest(self) -> tuple[str, ...]:
        """Digests of everything that decides the class ids, except the manifest."""
        transform = [] if self.frame.transform is None else [*map(float, self.frame.transform[:6])]
        return (*self._labels.digest, str(self.frame.crs), repr(transform))

    @property
    def empty(self) -> bool:
        """Whether the file has geometries, but neither they nor the annotated area meet the image."""
        if not len(self._labels.layer.geometries) or self._touched(self._whole()):
            return False
        return self._drawing.area is None or not self.labeled()

    def class_ids(self, part: Region | None = None) -> tuple[npt.NDArray[np.uint8], dict[str, int]]:
        """Draw the class ids of a part of the image, uint8 [h, w]; the dictionary is empty, as in `encode_mask`."""
        region = part or self._whole()
        ids = self._burned(region, self._hits(region))
        area = self._drawing.area
        if area is not None:
            inside = burn(area, np.ones(len(area), np.uint8), region, 0, all_touched=False)
            ids[inside == 0] = self._labels.ignore_id
        return ids, {}

    def contested(self, part: Region) -> int:
        """Count the pixels of a part that geometries of different classes cover."""
        drawing = self._drawing
        hits = self._hits(part)
        hits = hits[drawing.ids[hits] != self._labels.ignore_id]
        upward, downward = (self._burned(part, order) for order in (hits, hits[::-1]))
        return int((upward != downward).sum())

    def labeled(self, part: Region | None = None) -> bool:
        """Whether a pixel of the part has a class."""
        region = part or self._whole()
        everywhere = self._labels.encoding.annotated == EVERYWHERE
        if not everywhere and self._drawing.area is None and not self._touched(region):
            return False
        return bool((self.class_ids(region)[0] != self._labels.ignore_id).any())

    def _whole(self) -> Region:
        return 0, 0, self.frame.height, self.frame.width

    def _touched(self, region: Region) -> bool:
        return bool(len(self._hits(region)))

    def _hits(self, region: Region) -> npt.NDArray[np.intp]:
        import shapely

        top, left, height, width = region
        box = shapely.box(left, top, left + width, top + height)
        hits: npt.NDArray[np.intp] = np.sort(self._drawing.tree.query(box, predicate="intersects"))
        return hits

    def _burned(self, region: Region, hits: npt.NDArray[np.intp]) -> npt.NDArray[np.uint8]:
        """Draw shapes on the background of a region."""
        labels, drawing = self._labels, self._drawing
        encoding = labels.encoding
        name = encoding.background
        background = labels.ignore_id if name is None else labels.names.index(name)
        touched = encoding.all_touched
        return burn(
            drawing.geometries[hits], drawing.ids[hits], region, background, all_touched=touched
        )


def burn(
    geometries: Geometries,
    ids: npt.NDArray[np.uint8],
    region: Region,
    background: int,
    *,
    all_touched: bool,
) -> npt.NDArray[np.uint8]:
    """Draw geometries [N] in pixels, with their ids [N], on a region; later ones cover earlier ones."""
    from rasterio import Affine
    from rasterio.features import rasterize

    top, left, height, width = region
    if not len(geometries):
        return np.full((height, width), background, np.uint8)
    drawn: npt.NDArray[np.uint8] = rasterize(
        zip(geometries, ids.tolist(), strict=True),
        out_shape=(height, width),
        fill=background,
        transform=Affine.translation(left, top),
        all_touched=all_touched,
        dtype="uint8",
    )
    return drawn
