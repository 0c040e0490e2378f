"""Decoded scenes for everyone who needs pixels, with the last files kept in memory.

Views of one scene, and windows of one raster, come in bursts; decoding is the dear part, so whole
decoded files are kept up to a number of bytes. Of a raster that rasterio reads, only the scene's
window is read and kept.
"""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import DataError
from rsmtdf_core.manifests.files import (
    Part,
    by_rasterio,
    image_size,
    mask_size,
    read_image,
    read_mask,
    read_pixels,
)
from rsmtdf_core.manifests.masks import encode_mask
from rsmtdf_core.manifests.scenes import Dataset, Scene, Window
from rsmtdf_core.rasters.bands import SHOWN

Pixels = npt.NDArray[np.uint8]
_Key = tuple[
    str, str, Window | None
]  # image or mask, path, and the window where that alone was read


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
        self._kept: OrderedDict[_Key, Pixels] = OrderedDict()
        self._rasters: dict[str, bool] = {}
        self._kept_bytes = 0
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"dataset": self.dataset, "cache_bytes": self.cache_bytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def image(self, scene: Scene) -> Pixels:
        """Pixels of a scene, uint8 [H, W, C], RGB first.

        Raises:
            MissingFileError, DataError: the file is missing, unreadable or of another size.
        """
        path, bands = self.dataset.root / scene.image, self.dataset.manifest.bands
        if self._by_rasterio(scene):
            self._require_same_size(scene)
            key = ("image", scene.image, scene.window)
            return self._cached(key, lambda: read_image(path, bands, _part(scene)))
        whole = self._cached(("image", scene.image, None), lambda: read_image(path))
        return _cut(whole, scene, scene.image)

    def picture(self, scene: Scene) -> Pixels:
        """A scene as people and teachers see it, uint8 [H, W, 3], RGB.

        Raises:
            MissingFileError, DataError: as for `image`.
        """
        return self.image(scene)[..., :SHOWN]

    def mask(self, scene: Scene) -> Pixels:
        """Class ids of a scene that has a mask, uint8 [H, W]; ignored where its raster has no data.

        Raises:
            MissingFileError, DataError: the file is missing, unreadable, of another size than its
                image, or holds ids or colours that no class has.
        """
        assert scene.mask is not None, f"{scene.id} has no mask"
        if self._by_rasterio(scene):
            key = ("mask", scene.mask, scene.window)
            return self._cached(key, lambda: self._decode_mask_part(scene))
        whole = self._cached(("mask", scene.mask, None), lambda: self._decode_mask(scene, None))
        return _cut(whole, scene, scene.mask)

    def _by_rasterio(self, scene: Scene) -> bool:
        """Looked up once for each file, as it may take opening it."""
        if scene.image not in self._rasters:
            path = self.dataset.root / scene.image
            self._rasters[scene.image] = by_rasterio(path, self.dataset.manifest.bands)
        return self._rasters[scene.image]

    def _require_same_size(self, scene: Scene) -> None:
        if scene.window is None:
            size = image_size(self.dataset.root / scene.image, self.dataset.manifest.bands)
            if size != (scene.width, scene.height):
                raise _changed(scene, *size)

    def _decode_mask_part(self, scene: Scene) -> Pixels:
        root, manifest = self.dataset.root, self.dataset.manifest
        ids = self._decode_mask(scene, _part(scene))
        _, valid = read_pixels(root / scene.image, manifest.bands, _part(scene))
        if valid is not None:
            ids[~valid] = manifest.ignore_id
        return ids

    def _decode_mask(self, scene: Scene, part: Part | None) -> Pixels:
        root, manifest = self.dataset.root, self.dataset.manifest
        assert scene.mask is not None
        path = root / scene.mask
        image, mask = image_size(root / scene.image, manifest.bands), mask_size(path)
        if mask != image:
            raise DataError(size_differs(mask[::-1], image[::-1]), where=path)
        ids, unknown = encode_mask(read_mask(path, manifest, part), manifest)
        if unknown and not manifest.mask_encoding.tolerant:
            raise DataError(
                unknown_values(unknown),
                where=path,
                remedy="add them to the manifest as a class or under mask_encoding.ignore",
            )
        return ids

    def _cached(self, key: _Key, decode: Callable[[], Pixels]) -> Pixels:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        pixels = decode()
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


def _part(scene: Scene) -> Part:
    if scene.window is None:
        return 0, 0, scene.height, scene.width
    return scene.window.top, scene.window.left, scene.height, scene.width


def _changed(scene: Scene, width: int, height: int) -> DataError:
    return DataError(
        f"expected {scene.width} x {scene.height} px, found {width} x {height} px: "
        "the file changed since the scenes were found",
        where=scene.image,
    )


def _cut(whole: Pixels, scene: Scene, path: str) -> Pixels:
    height, width = whole.shape[:2]
    if scene.window is None:
        if (height, width) != (scene.height, scene.width):
            raise _changed(scene, width, height)
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
