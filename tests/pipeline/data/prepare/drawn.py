"""A small benchmark of drawn tiles, in DeepGlobe's names and colors."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.data.prepare.benchmarks import BENCHMARKS
from pipeline.data.prepare.layout import BenchmarkFolder
from pipeline.data.prepare.manifests import original_manifest
from rsmtdf_core.scenes.manifest import Manifest

WIDTH, HEIGHT = 700, 530
SMALL = replace(BENCHMARKS["deepglobe"], size=(WIDTH, HEIGHT), counts={"": 2})


def draw_tiles(root: Path, count: int = 2, *, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    """Write images, and masks of two classes whose border is at a multiple of 100 px."""
    root.mkdir(parents=True, exist_ok=True)
    width, height = size
    palette = manifest_of(root).palette
    for number in range(count):
        y, x = np.mgrid[:height, :width]
        image = np.stack([x % 256, y % 256, (x + y + number) % 256], axis=-1).astype(np.uint8)
        ids = np.where(x < 100 * (number + 1), 1, 3)
        Image.fromarray(image).save(root / f"{number}_sat.jpg", quality=95, subsampling=0)
        Image.fromarray(palette[ids].astype(np.uint8)).save(root / f"{number}_mask.png")


def manifest_of(root: Path) -> Manifest:
    """The manifest of the tiles."""
    layout = BenchmarkFolder(root, "{tile}_sat.jpg", "{tile}_mask.png", cropped=False)
    return original_manifest(SMALL, "deepglobe", layout, "published")
