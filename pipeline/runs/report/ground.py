"""Facts about the scored scenes that only their files have: their area, and their distance from training scenes."""

from collections import defaultdict
from dataclasses import dataclass

from rsmtdf_core.errors import RsmtdfError
from rsmtdf_core.maps.ground import pixel_area
from rsmtdf_core.scenes.find import Dataset
from rsmtdf_core.scenes.images.source import Source
from rsmtdf_core.scenes.members import parent_of
from rsmtdf_core.scenes.rasters import open_raster
from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.scenes.split_settings import SplitName


@dataclass(frozen=True, slots=True)
class Ground:
    """The ground that the scored scenes show.

    Attributes:
        area: area of the scenes, m2; None unless all have a georeference.
        training: number of training scenes.
        shared: number of scored scenes that share their tile or image with a training scene.
        tiles: whether the manifest knows parts of the same tile or image, as windows or by `parent`.
    """

    area: float | None
    training: int
    shared: int
    tiles: bool


def ground(dataset: Dataset, split: SplitName, scenes: tuple[Scene, ...]) -> Ground:
    """Read the georeferences of the scored scenes, and compare their tiles with those of the training scenes."""
    manifest = dataset.manifest
    training = dataset.splits.get("train", ())
    parents = {parent_of(manifest, scene.id) for scene in training} if split != "train" else set()
    return Ground(
        area=_area(dataset, scenes),
        training=len(training),
        shared=sum(parent_of(manifest, scene.id) in parents for scene in scenes),
        tiles=manifest.window is not None or bool(manifest.parent),
    )


def _area(dataset: Dataset, scenes: tuple[Scene, ...]) -> float | None:
    """Add up the areas of scenes, m2; windows of an image that overlap count no more than the image."""
    pixels: dict[Source, int] = defaultdict(int)
    for scene in scenes:
        pixels[scene.source(dataset.root)] += scene.width * scene.height
    total = 0.0
    for source, count in pixels.items():
        try:
            with open_raster(source, dataset.manifest.bands) as raster:
                frame = raster.frame
        except (RsmtdfError, OSError):
            return None
        if frame.bounds_in("EPSG:4326") is None:
            return None
        total += min(count, frame.width * frame.height) * pixel_area(frame)
    return total
