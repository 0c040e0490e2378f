"""Scenes that need no file."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from rsmtdf_core.scenes.scene import Scene

IGNORE_ID = 255


class MadeUpScenes:
    """A stub of SceneReader: noise with soft structure, seeded by the scene's sha256."""

    dataset = SimpleNamespace(manifest=SimpleNamespace(ignore_id=IGNORE_ID))

    def __init__(self) -> None:
        self.opened: list[str] = []

    def image(self, scene: Scene) -> np.ndarray:
        self.opened.append(scene.id)
        noise = np.random.default_rng(int(scene.sha256, 16))
        blocks = noise.integers(0, 256, (scene.height // 8 + 1, scene.width // 8 + 1, 3), np.uint8)
        coarse = np.kron(blocks, np.ones((8, 8, 1), np.uint8))[: scene.height, : scene.width]
        image = coarse // 2 + noise.integers(0, 128, coarse.shape, np.uint8)
        image.setflags(write=False)
        return image

    def mask(self, scene: Scene) -> np.ndarray:
        return self.image(scene)[..., 0] % 7


@pytest.fixture
def reader() -> MadeUpScenes:
    return MadeUpScenes()


@pytest.fixture
def make_scenes() -> Callable[..., list[Scene]]:
    def make(count: int, width: int = 90, height: int = 70, prefix: str = "s") -> list[Scene]:
        return [
            Scene(f"{prefix}/{i:03}", "i.png", "m.png", width, height, None, f"{i:064x}")
            for i in range(count)
        ]

    return make
