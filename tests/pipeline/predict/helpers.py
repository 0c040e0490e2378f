"""Helpers for the tests of maps."""

from pathlib import Path

import numpy as np

from pipeline.predict import PredictSettings
from pipeline.reporter import Silent
from pipeline.trained import load_run
from rsmtdf_core.evaluation.scoring import predict_ids
from tests.rasters import rasterio

ALL = PredictSettings(probabilities=True, confidence=True, polygons=True)


class Stopping(Silent):
    """Ends the work when the first block was written, as Ctrl-C does."""

    def advance(self, count: int = 1, note: str = "") -> None:
        raise KeyboardInterrupt


class Telling(Silent):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def reference(run: Path, pixels: np.ndarray) -> np.ndarray:
    """Ids by the code that evaluates, with the blending of maps."""
    trained = load_run(run)
    how = trained.config.evaluation.inference.model_copy(update={"blend": "hann"})
    return predict_ids(trained.student, pixels, how)
