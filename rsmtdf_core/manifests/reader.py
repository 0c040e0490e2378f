"""Decoded scenes for everyone who needs pixels, with the last files kept in memory.

Views of one scene, and windows of one raster, come in bursts; decoding is the dear part, so whole
decoded files are kept up to a number of bytes.
"""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import DataError
from rsmtdf_core.manifests.files import image_size, read_image, read_mask
from rsmtdf_core.manifests.masks import encode_mask
from rsmtdf_core.manifests.scenes import Dataset, Scene

Pixels = npt.NDArray[np.uint8]


class SceneReader:
    """Images and masks of a dataset's scenes.

    May be used from several threads and sent to other processes, where it starts with nothing kept.
    The arrays are shared with the cache and therefore read-only.

    Args:
        dataset: whose scenes are read.
        cache_bytes: decoded bytes to keep at most.
    """

    def __init__(self, dataset: Dataset, cache_bytes: int = 512 * 2**20) -> None:
        self.dataset = dataset
        self.cache_bytes = cache_bytes
        self._forget()

    def _forget(self) -> None:
        self._kept: OrderedDict[tuple[str, str], Pixels] = OrderedDict()
        self._kept_bytes = 0
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"dataset": self.dataset, "cache_bytes": self.cache_bytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def image(self, scene: Scene) -> Pixels:
        """Pixels of a scene, uint8 [H, W, 3], RGB.

        Raises:
            MissingFileError, DataError: the file is missing, unreadable or of another size.
        """
        return _cut(self._cached("image", scene.image, self._decode_image), scene, scene.image)

    def mask(self, scene: Scene) -> Pixels:
        """Class ids of a scene that has a mask, uint8 [H, W].

        Raises:
            MissingFileError, DataError: the file is missing, unreadable, of another size than its
                image, or holds ids or colours that no class has.
        """
        assert scene.mask is not None, f"{scene.id} has no mask"
        whole = self._cached("mask", scene.mask, lambda path: self._decode_mask(path, scene.image))
        return _cut(whole, scene, scene.mask)

    def _decode_image(self, path: str) -> Pixels:
        return read_image(self.dataset.root / path)

    def _decode_mask(self, path: str, image: str) -> Pixels:
        root, manifest = self.dataset.root, self.dataset.manifest
        ids, unknown = encode_mask(read_mask(root / path, manifest), manifest)
        if unknown and not manifest.mask_encoding.tolerant:
            raise DataError(
                unknown_values(unknown),
                where=root / path,
                remedy="add them to the manifest as a class or under mask_encoding.ignore",
            )
        width, height = image_size(root / image)
        if ids.shape != (height, width):
            raise DataError(size_differs(ids.shape, (height, width)), where=root / path)
        return ids

    def _cached(self, kind: str, path: str, decode: Callable[[str], Pixels]) -> Pixels:
        key = (kind, path)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        pixels = decode(path)
        pixels.setflags(write=False)
        with self._lock:
            if key not in self._kept and pixels.nbytes <= self.cache_bytes:
                self._kept[key] = pixels
                self._kept_bytes += pixels.nbytes
            while self._kept_bytes > self.cache_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._kept_bytes -= oldest.nbytes
        return pixels


def unknown_values(unknown: dict[str, int]) -> str:
    """A sentence on ids or colours that no class has, given with their counts of pixels."""
    listed = [f"{value} ({count} px)" for value, count in unknown.items()]
    more = f" and {len(listed) - 8} more" if len(listed) > 8 else ""
    return f"no class has {', '.join(listed[:8])}{more}"


def size_differs(mask: tuple[int, ...], image: tuple[int, int]) -> str:
    """A sentence on a mask and its image, sizes given as (height, width)."""
    return (
        f"the mask has {mask[1]} x {mask[0]} px, its image {image[1]} x {image[0]} px; "
        "both must be of one size"
    )


def _cut(whole: Pixels, scene: Scene, path: str) -> Pixels:
    height, width = whole.shape[:2]
    if scene.window is None:
        if (height, width) != (scene.height, scene.width):
            raise DataError(
                f"expected {scene.width} x {scene.height} px, found {width} x {height} px: "
                "the file changed since the scenes were found",
                where=path,
            )
        return whole
    left, top = scene.window.left, scene.window.top
    part = whole[top : top + scene.height, left : left + scene.width]
    if part.shape[:2] != (scene.height, scene.width):
        raise DataError(
            f"the window {scene.id} reaches over the raster's {width} x {height} px: "
            "the file changed since the scenes were found",
            where=path,
        )
    return part
