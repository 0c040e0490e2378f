"""Pad the windows at the borders of rasters to full size, as the published crops of benchmarks are padded."""

from collections.abc import Iterable

import numpy as np

from rsmtdf_core.arrays import Pixels
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.scenes.scene import Scene


def padded(part: Pixels, size: int, value: int) -> Pixels:
    """Pad a part of an image, uint8 [h, w, ...], at its right and bottom to [size, size, ...]."""
    height, width = part.shape[:2]
    crop = np.full((size, size, *part.shape[2:]), value, np.uint8)
    crop[:height, :width] = part
    return crop


def border_scenes(manifest: Manifest, scenes: Iterable[Scene]) -> tuple[Scene, ...]:
    """Return the scenes that are smaller than the manifest's window, because their raster ends there."""
    if manifest.window is None:
        return ()
    size = manifest.window.size
    return tuple(scene for scene in scenes if min(scene.width, scene.height) < size)


class PaddedReader(SceneReader):
    """Reads windows at the border of a raster at full size: beyond it, images are 0 and masks have the padding's class.

    Windows keep their size if the manifest has no `protocols.padding`.
    """

    def image(self, scene: Scene) -> Pixels:
        """Return the pixels of a scene, uint8 [S, S, C] for windows of S px."""
        return self._padded(scene, super().image(scene), 0)

    def mask(self, scene: Scene) -> Pixels:
        """Return the class ids of a scene with a mask, uint8 [S, S] for windows of S px."""
        return self._padded(scene, super().mask(scene), self.dataset.manifest.padding_id)

    def _padded(self, scene: Scene, pixels: Pixels, value: int | None) -> Pixels:
        manifest = self.dataset.manifest
        if value is None or manifest.padding_id is None or not border_scenes(manifest, [scene]):
            return pixels
        assert manifest.window is not None
        return padded(pixels, manifest.window.size, value)
