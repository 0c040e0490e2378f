"""Measures of pictures that several tests share."""

from pathlib import Path

import numpy as np
from PIL import Image

from rsmtdf_core.charts.style import MARGIN


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def assert_margin_is_white(picture: np.ndarray) -> None:
    inside = np.zeros(picture.shape[:2], bool)
    edge = MARGIN // 2
    inside[edge:-edge, edge:-edge] = True
    assert (picture[~inside] == 255).all(), "something runs into the margin"
    assert (picture[inside] != 255).any(), "the picture is empty"
