"""The class ids of an image whose labels are geometries."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from rsmtdf_core.scenes.images.frame import Crs, Frame, Transform
from rsmtdf_core.scenes.images.orientation import Region
from rsmtdf_core.scenes.shapes.features import UNOUTLINED, Geometries, Note
from rsmtdf_core.scenes.shapes.labels import Labels
from rsmtdf_core.scenes.shapes.placing import placed
from rsmtdf_core.scenes.shapes.settings import EVERYWHERE, NONEMPTY, ShapeMasks


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
def _drawn_on(labels: Labels, width: int, height: int, crs: Crs, transform: Transform) -> Drawing:
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
    if isinstance(encoding, ShapeMasks) and encoding.field is None:
        only = names.index(encoding.drawn(names)[0])
        return np.zeros(len(values), np.intp), np.full(len(values), only, np.uint8)
    ranks = encoding.ranks(names)
    table = {name: (ranks[name], number) for number, name in enumerate(names)}
    table |= {value: table[name] for value, name in encoding.values.items()}
    table |= dict.fromkeys((*encoding.ignore, UNOUTLINED), (len(names), labels.ignore_id))
    table |= dict.fromkeys(encoding.marks, (-1, labels.ignore_id))
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
    def notes(self) -> tuple[Note, ...]:
        """Facts about features that are not used as they are in the file."""
        return self._labels.notes

    @property
    def order(self) -> tuple[str, ...]:
        """The names of the classes, the lowest first."""
        ranks = self._labels.encoding.ranks(self._labels.names)
        return tuple(sorted(ranks, key=ranks.__getitem__))

    @property
    def digest(self) -> tuple[str, ...]:
        """Digests of everything that decides the class ids, except the manifest."""
        if self._labels.layer.crs is None:
            return self._labels.digest
        transform = [] if self.frame.transform is None else [*map(float, self.frame.transform[:6])]
        return (*self._labels.digest, str(self.frame.crs), repr(transform))

    @property
    def empty(self) -> bool:
        """Whether the file has no label of the image: it does not list it, or all its geometries are elsewhere."""
        if self._labels.layer.crs is None:
            return not self._labels.listed
        if not len(self._labels.layer.geometries) or self._touched(self._whole()):
            return False
        return self._drawing.area is None or not self.labeled()

    def class_ids(self, part: Region | None = None) -> tuple[npt.NDArray[np.uint8], dict[str, int]]:
        """Draw the class ids of a part of the image, uint8 [h, w]; the dictionary is empty, as in `encode_mask`."""
        region = part or self._whole()
        if self._blank:
            return np.full(region[2:], self._labels.ignore_id, np.uint8), {}
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
        if self._blank:
            return False
        everywhere = self._labels.encoding.annotated in (EVERYWHERE, NONEMPTY)
        if not everywhere and self._drawing.area is None and not self._touched(region):
            return False
        return bool((self.class_ids(region)[0] != self._labels.ignore_id).any())

    @property
    def _blank(self) -> bool:
        """Whether the image is not labeled, even where everything else is."""
        labels = self._labels
        nonempty = labels.encoding.annotated == NONEMPTY
        return not labels.listed or (nonempty and not len(labels.layer.geometries))

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
