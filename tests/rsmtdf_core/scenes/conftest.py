"""A small folder dataset: four images of 8 x 6 px with index masks in two halves."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rsmtdf_core.scenes.manifest import Manifest


def manifest_values(**changes) -> dict:
    values = {
        "name": "tiny",
        "title": "Tiny",
        "classes": [{"name": "low", "color": "#102030"}, {"name": "high", "color": "#a0B0c0"}],
        "images": "images/{name}.*",
        "masks": "masks/{name}.*",
        "mask_encoding": {"encoding": "indices", "offset": 1, "ignore": [0]},
        "splits": {"train": {"share": [0, 0.5]}, "test": {"share": [0.5, 1]}},
    }
    return {**values, **changes}


def make_manifest(**changes) -> Manifest:
    return Manifest.model_validate(manifest_values(**changes))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    mask = np.ones((6, 8), np.uint8)
    mask[:, 4:] = 2
    for number in range(4):
        image = np.full((6, 8, 3), 10 * number, np.uint8)
        image[:, :, 1] = np.arange(8)
        Image.fromarray(image).save(tmp_path / "images" / f"s{number}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"s{number}.png")
    return tmp_path
