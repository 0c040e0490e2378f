"""A run that was trained for one step, and rasters to predict."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.config import load_config
from pipeline.train.run import train
from rsmtdf_core.student.model import Student
from tests.pipeline.conftest import CONFIG
from tests.rasters import write_tiff


@pytest.fixture(scope="session")
def run(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its windows have 64 px, a quarter of which overlaps."""
    folder = tmp_path_factory.mktemp("predict")
    text = CONFIG.replace("SCENES", str(scenes)).replace("CACHE", str(folder / "cache"))
    path = folder / "tiny.yaml"
    path.write_text(text.replace("RUNS", str(folder / "runs")))
    overrides = ["objective.method=supervised", "optimiser.max_steps=1"]
    overrides += ["evaluation.inference.overlap=0.25"]
    return train(load_config(str(path), overrides)).run


@pytest.fixture
def pixels() -> np.ndarray:
    """Smooth colors that differ from pixel to pixel, uint8 [90, 150, 3], none of them black."""
    y, x = np.mgrid[:90, :150]
    bands = [40 + x, 60 + 2 * y, 128 + 100 * np.sin(x / 9) * np.cos(y / 7)]
    return np.stack(bands, axis=2).astype(np.uint8)


@pytest.fixture
def raster(tmp_path: Path, pixels: np.ndarray) -> Path:
    """The same as a GeoTIFF, whose upper left 20 x 10 px have no data."""
    values = np.moveaxis(pixels, 2, 0).copy()
    values[:, :10, :20] = 0
    (tmp_path / "in").mkdir()
    return write_tiff(tmp_path / "in" / "a.tif", values, nodata=0)


@pytest.fixture
def eyes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six classes by the colours around a pixel, as the maps of an untrained student show one class."""

    def logits(_self: Student, images: Tensor) -> Tensor:
        blurred = F.avg_pool2d(images, 9, stride=1, padding=4)
        return torch.cat([blurred, -blurred], dim=1)

    monkeypatch.setattr(Student, "logits", logits)
