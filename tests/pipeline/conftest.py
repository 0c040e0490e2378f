"""A small experiment on drawn scenes that takes seconds on one core."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pipeline.config import ExperimentConfig, load_config
from pipeline.demo.scenes import draw_scenes

CONFIG = """
name: tiny
data: {manifest: synthetic, root: SCENES, labeled: 1/4}
views: {crop: 64, scale: [0.6, 1.2], unlabeled_views: 2, labeled_views: 2}
teachers:
  - {name: vit, family: timm, model: test_vit, weights: random, input_size: 80}
  - {name: cnn, family: timm, model: test_efficientnet, weights: random, block: 2}
student: {encoder: test_efficientnet, weights: random, translator_hidden: 16}
objective: {confidence: 0.3}
optimiser: {lr: 0.002, multiplier: 1, epochs: 2, batch: 2, ema: 0.9}
evaluation: {inference: {mode: slide, window: 64, overlap: 0, batch: 4}}
runtime: {device: cpu, workers: 0, cache: CACHE, runs: RUNS, log_every: 1, teacher_batch: 3}
"""


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Sums round by how threads split them; with one thread the same bits come out everywhere."""
    torch.set_num_threads(1)


MakeConfig = Callable[..., ExperimentConfig]


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen drawn scenes: ten for training, two each for validation and test."""
    folder = tmp_path_factory.mktemp("scenes")
    draw_scenes(folder, 14, 72, seed=3)
    return folder


@pytest.fixture
def config_file(scenes: Path, tmp_path: Path) -> Path:
    """The small experiment as a file, with a separate cache and runs folder for each test."""
    text = CONFIG.replace("SCENES", str(scenes)).replace("CACHE", str(tmp_path / "cache"))
    path = tmp_path / "tiny.yaml"
    path.write_text(text.replace("RUNS", str(tmp_path / "runs")))
    return path


@pytest.fixture
def make_config(config_file: Path) -> MakeConfig:
    """The small experiment with overrides."""
    return lambda *overrides: load_config(str(config_file), overrides)
