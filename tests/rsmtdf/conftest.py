"""A small experiment as a mapping, with features and a run that the tests share."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import rsmtdf
from pipeline.demo.scenes import draw_scenes
from tests.pipeline.conftest import CONFIG


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def values(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The config; paths are `Path`s, as in a notebook."""
    folder = tmp_path_factory.mktemp("experiment")
    draw_scenes(folder / "scenes", 14, 72, seed=3)
    values = yaml.safe_load(CONFIG)
    values["data"]["root"] = folder / "scenes"
    values["runtime"] |= {"cache": folder / "cache", "runs": folder / "runs"}
    return values


@pytest.fixture(scope="session")
def extracted(values: dict[str, Any]) -> dict[str, Any]:
    """The config, once its features are in the cache."""
    rsmtdf.extract_features(values)
    return values


@pytest.fixture(scope="session")
def run(extracted: dict[str, Any]) -> Path:
    """A run of a few steps."""
    return rsmtdf.train(extracted, max_steps=2).run
