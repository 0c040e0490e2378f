"""Facts about the scored scenes that only their files have: their area, and their distance from training scenes."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rsmtdf_core.arrays import Doubles
from rsmtdf_core.errors import RsmtdfError
from rsmtdf_core.maps.ground import equal_area_crs, pixel_area
from rsmtdf_core.scenes.find import Dataset
from rsmtdf_core.scenes.images.frame import Crs, Frame
from rsmtdf_core.scenes.images.source import Source
from rsmtdf_core.scenes.members import parent_of
from rsmtdf_core.scenes.rasters import open_raster
from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.scenes.split_settings import SplitName

_MOST_PAIRS = 10**8  # of a scored and a training scene, whose distances take seconds


@dataclass(frozen=True, slots=True)
class Ground:
    """The ground that the scored scenes show.

    Attributes:
        area: area of the scenes, m2; None unless all have a georeference.
        training: number of training scenes.
        shared: number of scored scenes that share their tile or image with a training scene.
        tiles: whether the manifest knows parts of the same tile or image, as windows or by `parent`.
        overlapping: number of scored scenes that overlap a training scene on the ground.
        distance: smallest distance of a scored from a training scene, m; None unless all have a georeference.
        blocks: the blocks that separate the splits, in words; empty if the split is not drawn by block.
    """

    area: float | None
    training: int
    shared: int
    tiles: bool
    overlapping: int = 0
    distance: float | None = None
    blocks: str = ""


def ground(dataset: Dataset, split: SplitName, scenes: Sequence[Scene]) -> Ground:
    """Read the georeferences of the scored scenes, and compare their places with those of the training scenes."""
    manifest = dataset.manifest
    training = dataset.splits.get("train", ()) if split != "train" else ()
    blocks = manifest.blocks if manifest.splits[split].by == "block" else None
    parents = {parent_of(manifest, scene.id) for scene in training}
    frames = _frames(dataset, scenes)
    near = None if frames is None else _near(dataset, scenes, training, frames)
    overlapping, distance = near or (0, None)
    return Ground(
        area=None if frames is None else _area(dataset, scenes, frames),
        training=len(dataset.splits.get("train", ())),
        shared=0 if blocks else sum(parent_of(manifest, scene.id) in parents for scene in scenes),
        tiles=manifest.window is not None or bool(manifest.parent),
        overlapping=overlapping,
        distance=distance,
        blocks=blocks.describe() if blocks else "",
    )


def _frames(dataset: Dataset, scenes: Iterable[Scene]) -> dict[Source, Frame] | None:
    """Read the georeference of each image; None if one has none, or there is no image."""
    frames: dict[Source, Frame] = {}
    for scene in scenes:
        source = scene.source(dataset.root)
        if source in frames:
            continue
        try:
            with open_raster(source, dataset.manifest.bands) as raster:
                frames[source] = raster.frame
        except (RsmtdfError, OSError):
            return None
        if raster.frame.bounds_in("EPSG:4326") is None:
            return None
    return frames or None


def _area(dataset: Dataset, scenes: Sequence[Scene], frames: dict[Source, Frame]) -> float:
    """Add up the areas of scenes, m2; windows of an image that overlap count no more than the image."""
    pixels: dict[Source, int] = defaultdict(int)
    for scene in scenes:
        pixels[scene.source(dataset.root)] += scene.width * scene.height
    return sum(
        min(count, frames[source].width * frames[source].height) * pixel_area(frames[source])
        for source, count in pixels.items()
    )


def _near(
    dataset: Dataset,
    scenes: Sequence[Scene],
    training: Sequence[Scene],
    frames: dict[Source, Frame],
) -> tuple[int, float] | None:
    """Count the scenes that overlap a training scene, and find the smallest distance of the others, m."""
    others = _frames(dataset, training)
    if others is None or len(scenes) * len(training) > _MOST_PAIRS:
        return None
    first = next(iter(frames.values()))
    crs = equal_area_crs(first)
    boxes = _boxes([_part(frames[scene.source(dataset.root)], scene) for scene in scenes], crs)
    training_boxes = _boxes(
        [_part(others[scene.source(dataset.root)], scene) for scene in training], crs
    )
    if boxes is None or training_boxes is None:
        return None
    gaps = [_gap(box, training_boxes) for box in boxes]
    return sum(gap < -(pixel_area(first) ** 0.5) for gap in gaps), max(0.0, min(gaps))


def _part(frame: Frame, scene: Scene) -> Frame:
    """Return the frame of a scene, which may be a window of its image."""
    if scene.window is None:
        return frame
    a, b, c, d, e, f = frame.transform[:6]
    left, top = scene.window.left, scene.window.top
    moved = type(frame.transform)(a, b, a * left + b * top + c, d, e, d * left + e * top + f)
    return replace(frame, width=scene.width, height=scene.height, transform=moved)


def _boxes(frames: Sequence[Frame], crs: Crs) -> Doubles | None:
    """Return west, south, east and north of scenes in a CRS, float64 [scenes, 4]; None if one has no such bounds."""
    boxes = [box for frame in frames if (box := frame.bounds_in(crs)) is not None]
    return np.array(boxes, np.float64) if len(boxes) == len(frames) else None


def _gap(box: Doubles, others: Doubles) -> float:
    """Return the smallest distance of a box from others, m; below 0 the depth by which it overlaps one."""
    apart = np.maximum(others[:, :2] - box[2:], box[:2] - others[:, 2:])
    outside = np.hypot(*np.maximum(apart, 0).T)
    return float(np.where(outside > 0, outside, apart.max(axis=1)).min())
