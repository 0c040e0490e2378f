"""Sample windows of a run's scenes, to measure the loss of an export, and the size of the scenes' pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.trained import TrainedRun
from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.evaluation.scoring import evenly
from rsmtdf_core.maps.ground import pixel_size
from rsmtdf_core.scenes.find import Dataset, find_scenes
from rsmtdf_core.scenes.rasters import open_raster
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.scenes.split_settings import SplitName

COUNT = 8
_SPLITS: tuple[SplitName, ...] = ("val", "test", "train")


@dataclass(frozen=True, slots=True)
class Samples:
    """Windows of a size.

    Attributes:
        windows: uint8 [N, bands, T, T]; windows of smaller scenes are black outside.
        sizes: height and width of the scenes' part of each window, px.
        origin: a phrase for reports.
        resolution: median size of a pixel, cm; None if the scenes have no georeference.
        dtype: type of the stored values.
    """

    windows: Tensor
    sizes: Sequence[tuple[int, int]]
    origin: str
    resolution: float | None
    dtype: np.dtype[Any]


def sample_windows(trained: TrainedRun, root: Path | None, side: int) -> Samples:
    """Cut windows from the middle of validation scenes, else of test or training scenes.

    Windows of random pixels replace them if the scenes are not on this machine.

    Args:
        trained: the run.
        root: the data root; None uses the root in the run's config.
        side: side of a window, px.

    Raises:
        DataError: If a scene cannot be read.
        MissingFileError: If a given `root` lacks the scenes.
    """
    try:
        dataset = find_scenes(trained.manifest, root or trained.config.data.root)
    except MissingFileError:
        if root is not None:
            raise
        return _noise(trained.student.bands, side)
    for split in _SPLITS:
        if scenes := evenly(dataset.splits.get(split, ()), COUNT):
            return _cut(dataset, scenes, split, side)
    raise DataError("no split has scenes", where=dataset.root)


def _noise(bands: int, side: int) -> Samples:
    generator = torch.Generator().manual_seed(0)
    shape = (2, bands, side, side)
    windows = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    sizes = [(side, side)] * len(windows)
    return Samples(windows, sizes, "windows of random pixels", None, np.dtype(np.uint8))


def _cut(dataset: Dataset, scenes: Sequence[Scene], split: SplitName, side: int) -> Samples:
    reader = SceneReader(dataset)
    windows, sizes, pixel_sizes = [], [], []
    dtype = np.dtype(np.uint8)
    for scene in scenes:
        with open_raster(scene.source(dataset.root), dataset.manifest.bands) as raster:
            dtype = raster.image.dtypes[0]
            pixel_sizes.append(pixel_size(raster.frame))
        image = torch.from_numpy(reader.image(scene).copy()).permute(2, 0, 1)
        height, width = (min(side, length) for length in image.shape[1:])
        top, left = (image.shape[1] - height) // 2, (image.shape[2] - width) // 2
        part = image[:, top : top + height, left : left + width]
        windows.append(F.pad(part, (0, side - width, 0, side - height)))
        sizes.append((height, width))
    known = [size for size in pixel_sizes if size is not None]
    resolution = round(100 * median(known), 2) if known else None
    origin = f"windows of {len(scenes)} scenes of the split {split}"
    return Samples(torch.stack(windows), sizes, origin, resolution, dtype)
