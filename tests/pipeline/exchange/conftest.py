"""A supervised run of a few seconds whose maps have several classes."""

from pathlib import Path

import pytest

from pipeline.config import load_config
from pipeline.train.run import train
from tests.pipeline.conftest import CONFIG


@pytest.fixture(scope="session")
def colorful(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its windows have 64 px, a quarter of which overlaps; its scenes are pictures."""
    folder = tmp_path_factory.mktemp("colorful")
    text = CONFIG.replace("SCENES", str(scenes)).replace("CACHE", str(folder / "cache"))
    path = folder / "tiny.yaml"
    path.write_text(text.replace("RUNS", str(folder / "runs")))
    overrides = ["objective.method=supervised", "optimiser.max_steps=30", "optimiser.epochs=60"]
    overrides += ["optimiser.lr=0.005", "optimiser.batch=4", "evaluation.inference.overlap=0.25"]
    return train(load_config(str(path), overrides)).run
