"""Places scenes on a grid of blocks, and finds those that are too near to a block of another split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from rsmtdf_core.arrays import Doubles, Mask, Rows
from rsmtdf_core.errors import ConfigError, DataError
from rsmtdf_core.scenes.images.frame import Crs, Frame
from rsmtdf_core.scenes.scene import Scene, region
from rsmtdf_core.scenes.split_settings import BlockSpec, SplitName

_STEPS = (
    4  # parts of a scene's side that are transformed to another CRS, as its sides become curves
)
_TOLERANCE = 1e-6  # of a block's side: rounding of coordinates


@dataclass(frozen=True, eq=False)
class Placement:
    """Scenes on a grid of blocks.

    Attributes:
        row_of: the row of each scene, by its id.
        names: the name of each block, the same on every machine and for any other scenes.
        home: index of the block that has the scene's center, int64 [scenes].
        scenes: rows of scenes, int64 [pairs], of the pairs of a scene and a block that is nearer than the buffer.
        blocks: indices of the blocks of these pairs, int64 [pairs].
        overlaps: whether the scene overlaps the block, bool [pairs].
    """

    row_of: dict[str, int]
    names: tuple[str, ...]
    home: Rows
    scenes: Rows
    blocks: Rows
    overlaps: Mask

    def apart(self, members: Mapping[SplitName, Rows]) -> dict[SplitName, Rows]:
        """Return for each split the rows of its scenes that are apart from the other splits.

        No two of these scenes of different splits overlap or are nearer than the buffer.

        Args:
            members: the rows of the scenes of each split.
        """
        owned = np.zeros((len(members), len(self.names)), bool)
        for number, rows in enumerate(members.values()):
            owned[number, self.home[rows]] = True
        kept = self._kept(owned, members)
        # Scenes may reach into blocks that have no scene's center. Such a block belongs to the splits that reach it.
        free = owned.sum(axis=0) == 0
        for number, rows in enumerate(kept.values()):
            reached = self.blocks[np.isin(self.scenes, rows) & self.overlaps]
            owned[number, reached[free[reached]]] = True
        return self._kept(owned, kept)

    def _kept(self, owned: Mask, members: Mapping[SplitName, Rows]) -> dict[SplitName, Rows]:
        """Return the rows of each split without those near a block that another split owns, bool [splits, blocks]."""
        kept = {}
        for number, (split, rows) in enumerate(members.items()):
            foreign = np.delete(owned, number, axis=0).sum(axis=0) > 0
            near = self.scenes[foreign[self.blocks]]
            kept[split] = rows[~np.isin(rows, near)]
        return kept


class CutImage(NamedTuple):
    """An image with its scenes, of which there is at least one.

    Attributes:
        id: the id of the image.
        frame: size and georeference.
        scenes: its scenes.
    """

    id: str
    frame: Frame
    scenes: Sequence[Scene]

    @property
    def path(self) -> str:
        """Posix path of the image relative to the data root."""
        return self.scenes[0].image


def place_scenes(spec: BlockSpec, images: Sequence[CutImage]) -> Placement:
    """Place scenes on the grid of blocks.

    Args:
        spec: the blocks.
        images: the images, at least one.

    Raises:
        ConfigError: If the CRS of the blocks is unknown or not projected.
        DataError: If an image has no place on a grid in meters, or a scene is larger than a block.
    """
    grid = None if spec.unit == "px" else _projected(spec, images)
    unit = 1.0 if grid is None else 1 / grid.linear_units_factor[1]
    size, buffer = spec.size * unit, spec.buffer * unit
    boxes = [_boxes(image.scenes) if grid is None else _on_ground(image, grid) for image in images]
    for image, of_image in zip(images, boxes, strict=True):
        longest = float((of_image[:, 2:] - of_image[:, :2]).max(initial=0)) / unit
        if longest > spec.size * (1 + _TOLERANCE):
            raise DataError(
                f"{spec.describe()} are smaller than the scenes of this image, {longest:g} {spec.unit}",
                where=image.path,
                remedy="raise blocks.size in the manifest, or lower window.size",
            )
    # Every image has a grid of its own, or all have the first.
    number = np.repeat(np.arange(len(images)) * (grid is None), list(map(len, boxes)))
    box = np.concatenate(boxes)
    center = np.floor((box[:, :2] + box[:, 2:]) / 2 / size).astype(np.int64)
    rows, near, overlaps = _near(box, size, buffer)
    cells = np.concatenate(
        [np.column_stack([number, center]), np.column_stack([number[rows], near])]
    )
    unique, index = np.unique(cells, axis=0, return_inverse=True)
    index = index.reshape(-1)
    prefixes = [f"{image.id}@" for image in images] if grid is None else [""]
    return Placement(
        row_of={
            scene.id: row
            for row, scene in enumerate(scene for image in images for scene in image.scenes)
        },
        names=tuple(f"{prefixes[image]}{x},{y}" for image, x, y in unique.tolist()),
        home=index[: len(box)],
        scenes=rows,
        blocks=index[len(box) :],
        overlaps=overlaps,
    )


def _near(box: Doubles, size: float, buffer: float) -> tuple[Rows, Rows, Mask]:
    """Return rows, cells [pairs, 2] and overlaps of all pairs of a box and a cell that are nearer than the buffer."""
    margin = _TOLERANCE * size
    low, high = box[:, :2] + margin, box[:, 2:] - margin
    first = np.floor((low - buffer) / size).astype(np.int64)
    counts = np.floor((high + buffer) / size).astype(np.int64) - first + 1
    pairs = []
    for offset in product(*(range(most) for most in counts.max(axis=0).tolist())):
        cell = first + offset
        gap = np.maximum(np.maximum(cell * size - high, low - (cell + 1) * size), 0)
        distance = np.hypot(gap[:, 0], gap[:, 1])
        overlap = distance == 0
        rows = np.flatnonzero(overlap | (distance < buffer))
        pairs.append((rows, cell[rows], overlap[rows]))
    rows, cells, overlaps = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return rows, cells, overlaps


def _boxes(scenes: Sequence[Scene]) -> Doubles:
    """Return left, top, right and bottom of scenes in their image, px, float64 [scenes, 4]."""
    regions = np.array([region(scene) for scene in scenes], float).reshape(-1, 4)
    top, left, height, width = regions.T
    return np.column_stack([left, top, left + width, top + height])


def _on_ground(image: CutImage, grid: Crs) -> Doubles:
    """Return the bounds of scenes in the CRS of the grid, float64 [scenes, 4]."""
    left, top, right, bottom = _boxes(image.scenes).T[:, :, None]
    along = np.linspace(0, 1, _STEPS + 1)
    x, y = left + along * (right - left), top + along * (bottom - top)
    edges = np.ones_like(along)
    columns = np.concatenate([x, x, left * edges, right * edges], axis=1)
    rows = np.concatenate([top * edges, bottom * edges, y, y], axis=1)
    a, b, c, d, e, f = image.frame.transform[:6]
    xs, ys = a * columns + b * rows + c, d * columns + e * rows + f
    if image.frame.crs != grid:
        xs, ys = _transformed(image, grid, xs, ys)
    return np.column_stack([xs.min(1), ys.min(1), xs.max(1), ys.max(1)])


def _transformed(image: CutImage, grid: Crs, xs: Doubles, ys: Doubles) -> list[Doubles]:
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError
    from rasterio.warp import transform

    try:
        points = transform(image.frame.crs, grid, xs.ravel(), ys.ravel())
    except (RasterioError, CPLE_BaseError) as error:
        raise _off_grid(
            image, f"its CRS cannot be transformed to that of the blocks: {error}"
        ) from None
    moved = [np.array(values).reshape(xs.shape) for values in points]
    if not all(np.isfinite(values).all() for values in moved):
        raise _off_grid(image, "it is outside of the area of the CRS of the blocks")
    return moved


def _projected(spec: BlockSpec, images: Sequence[CutImage]) -> Crs:
    """Return the CRS of the grid: that of the blocks, or of all images."""
    first = images[0]
    for image in images:
        if image.frame.bounds is None:
            raise _off_grid(image, "it has no georeference")
    if spec.crs is not None:
        crs, where = _parsed(spec.crs), "blocks.crs"
    else:
        for image in images:
            if image.frame.crs == first.frame.crs:
                continue
            raise DataError(
                f"images have different coordinate reference systems: {_name(image.frame.crs)}, and "
                f"{_name(first.frame.crs)} of {first.path}",
                where=image.path,
                remedy=f"name the one of the blocks in the manifest: {_remedy(images)}",
            )
        crs, where = first.frame.crs, first.path
    if not crs.is_projected:
        raise ConfigError(
            f"blocks in meters need a projected coordinate reference system, found {_name(crs)}",
            where=where,
            remedy=f"name one in the manifest: {_remedy(images)}",
        )
    return crs


def _parsed(text: str) -> Crs:
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        return CRS.from_user_input(text)
    except (CRSError, ValueError) as error:
        raise ConfigError(
            f"'{text}' is no coordinate reference system: {error}",
            where="blocks.crs",
            remedy='name one such as "EPSG:32640"',
        ) from None


def common_crs(frames: Sequence[Frame]) -> str | None:
    """Return the CRS that blocks in meters must name: UTM around the first image; None if the images share one."""
    first = frames[0]
    if first.crs.is_projected and all(frame.crs == first.crs for frame in frames):
        return None
    return _utm(first)


def _utm(frame: Frame) -> str | None:
    """Return the UTM zone of an image's middle; None without longitude and latitude."""
    bounds = frame.bounds_in("EPSG:4326")
    if bounds is None:
        return None
    west, south, east, north = bounds
    zone = int(((west + east) / 2 + 180) // 6) % 60 + 1
    return f"EPSG:{32600 + zone if south + north >= 0 else 32700 + zone}"


def _remedy(images: Sequence[CutImage]) -> str:
    return f'blocks: {{crs: "{_utm(images[0].frame) or "EPSG:32633"}"}}'


def _name(crs: Crs) -> str:
    return str(crs.to_string())[:100]


def _off_grid(image: CutImage, why: str) -> DataError:
    return DataError(
        f"the image has no place on a grid of blocks in meters: {why}",
        where=image.path,
        remedy="set `unit: px` under blocks in the manifest, or correct the file's georeference",
    )
