"""Decode the pixels and masks of scenes, with a cache of recent files.

Views of one scene, and windows of one raster, are requested in bursts, and decoding is expensive. So decoded files are
cached up to a number of bytes. If a file can be read by parts, or by rows and does not fit into the cache, only the
scene's window is read and cached. The cache also holds where pixels have data, so that a scene's image and mask are
each opened once.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

from rsmtdf_core.arrays import Pixels
from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.bands import SHOWN
from rsmtdf_core.scenes.files import open_labels
from rsmtdf_core.scenes.find import Dataset
from rsmtdf_core.scenes.images.decoder import Valid
from rsmtdf_core.scenes.images.file import ImageFile
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.images.orientation import Region
from rsmtdf_core.scenes.rasters import open_raster
from rsmtdf_core.scenes.scene import Scene, Window


@dataclass(frozen=True, slots=True)
class _Decoded:
    """The decoded pixels of an image or a mask.

    Attributes:
        pixels: pixels of the image, uint8 [h, w, C], or class ids of the mask, uint8 [h, w].
        part: the decoded part of the file; None for the whole file.
        frame: size and georeference of the image.
        valid: where the image has data, bool [h, w]; None if all pixels have data.
    """

    pixels: Pixels
    part: Region | None
    frame: Frame
    valid: Valid | None = None

    @property
    def size(self) -> tuple[int, int]:
        return self.frame.width, self.frame.height

    @property
    def nbytes(self) -> int:
        return self.pixels.nbytes + (0 if self.valid is None else self.valid.nbytes)


_Key = tuple[str, str, Window | None]
"""Image or mask, path of the image, and the window if only that was read."""


class SceneReader:
    """Reads images and masks of a dataset's scenes.

    Thread-safe. A copy sent to another process starts with an empty cache. The arrays are shared with the cache and
    therefore read-only.

    Args:
        dataset: the dataset.
        cache_bytes: largest size of the cache, bytes.
    """

    def __init__(self, dataset: Dataset, cache_bytes: int = 512 * 2**20) -> None:
        self.dataset = dataset
        self.cache_bytes = cache_bytes
        self._forget()

    def _forget(self) -> None:
        self._kept: OrderedDict[_Key, _Decoded] = OrderedDict()
        self._kept_bytes = 0
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"dataset": self.dataset, "cache_bytes": self.cache_bytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def image(self, scene: Scene) -> Pixels:
        """Return the pixels of a scene, uint8 [H, W, C], RGB first.

        Raises:
            MissingFileError, DataError: If the file is missing, unreadable or of another size.
        """
        decoded = self._image(scene)
        return _cut(decoded.pixels, decoded, scene, scene.image)

    def picture(self, scene: Scene) -> Pixels:
        """Return the RGB pixels of a scene, uint8 [H, W, 3], for teachers and pictures.

        Raises:
            MissingFileError, DataError: As for `image`.
        """
        return self.image(scene)[..., :SHOWN]

    def mask(self, scene: Scene) -> Pixels:
        """Return the class ids of a scene with a mask, uint8 [H, W]; pixels without image data are ignored.

        Raises:
            MissingFileError, DataError: If the file is missing, unreadable, differs in size from its image, or holds
                ids or colors that no class has.
        """
        assert scene.mask is not None, f"{scene.id} has no mask"
        image = self._image(scene)
        mask = self._cached("mask", scene, lambda: self._decode_mask(scene, image))
        return _cut(mask.pixels, mask, scene, scene.mask)

    def _image(self, scene: Scene) -> _Decoded:
        return self._cached("image", scene, lambda: self._decode_image(scene))

    def _decode_image(self, scene: Scene) -> _Decoded:
        """Decode the scene's window, or the whole file."""
        source = scene.source(self.dataset.root)
        with open_raster(source, self.dataset.manifest.bands) as raster:
            if scene.window is None and raster.image.size != (scene.width, scene.height):
                raise _changed(scene, *raster.image.size)
            part = _part(scene) if self._reads_parts(raster.image) else None
            pixels, valid = raster.read(*(part or raster.image.whole()))
            return _Decoded(pixels, part, raster.frame, None if valid.all() else valid)

    def _reads_parts(self, image: ImageFile) -> bool:
        """Whether a window is read by itself: the file has parts, or rows and would not stay in the cache."""
        bands = self.dataset.manifest.image_bands + 1  # and where it has data
        kept = image.width * image.height * bands <= self.cache_bytes
        return image.by_parts or (image.by_rows and not kept)

    def _decode_mask(self, scene: Scene, image: _Decoded) -> _Decoded:
        """Decode the class ids of the decoded part of the image; pixels without image data are ignored."""
        manifest = self.dataset.manifest
        assert scene.mask is not None
        path = self.dataset.root / scene.mask
        root = self.dataset.root
        with open_labels(manifest, root, scene.mask, scene.image, image.frame) as mask:
            if mask.size != image.size:
                raise DataError(
                    size_differs(mask.size[::-1], image.size[::-1]),
                    where=path,
                    remedy="correct the pair, or remove it; `rsmtdf data check` lists all such files",
                )
            ids, unknown = mask.class_ids(image.part)
        if unknown and not manifest.mask_encoding.tolerant:
            raise DataError(
                unknown_values(unknown),
                where=path,
                remedy="add them to the manifest as a class or under mask_encoding.ignore",
            )
        if image.valid is not None:
            ids[~image.valid] = manifest.ignore_id
        return _Decoded(ids, image.part, image.frame)

    def _cached(self, kind: str, scene: Scene, decode: Callable[[], _Decoded]) -> _Decoded:
        # Images may share a file of labels, so masks too are kept by image.
        keys: tuple[_Key, _Key] = (kind, scene.image, None), (kind, scene.image, scene.window)
        with self._lock:
            for key in keys:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key]
        decoded = decode()
        decoded.pixels.setflags(write=False)
        key = keys[0] if decoded.part is None else keys[1]
        with self._lock:
            if key not in self._kept and decoded.nbytes <= self.cache_bytes:
                self._kept[key] = decoded
                self._kept_bytes += decoded.nbytes
            while self._kept_bytes > self.cache_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._kept_bytes -= oldest.nbytes
        return decoded


def unknown_values(unknown: dict[str, int]) -> str:
    """Return a sentence on ids or colors that no class has, given with their numbers of pixels."""
    listed = [f"{value} ({count} px)" for value, count in unknown.items()]
    more = f" and {len(listed) - 8} more" if len(listed) > 8 else ""
    return f"no class has {', '.join(listed[:8])}{more}"


def size_differs(mask: tuple[int, ...], image: tuple[int, int]) -> str:
    """Return a sentence on the sizes of a mask and its image, given as (height, width)."""
    return (
        f"the mask has {mask[1]} x {mask[0]} px, its image {image[1]} x {image[0]} px; "
        "both must have the same size"
    )


def _part(scene: Scene) -> Region | None:
    """The scene's window; None for a whole image."""
    if scene.window is None:
        return None
    return scene.window.top, scene.window.left, scene.height, scene.width


def _changed(scene: Scene, width: int, height: int) -> DataError:
    return DataError(
        f"expected {scene.width} x {scene.height} px, found {width} x {height} px: "
        "the file changed since the scenes were found",
        where=scene.image,
    )


def _cut(pixels: Pixels, decoded: _Decoded, scene: Scene, path: str) -> Pixels:
    """Cut the scene's pixels from the decoded window or file."""
    if decoded.part is not None:
        return pixels
    width, height = decoded.size
    if scene.window is None:
        if (width, height) != (scene.width, scene.height):
            raise _changed(scene, width, height)
        return pixels
    left, top = scene.window.left, scene.window.top
    part = pixels[top : top + scene.height, left : left + scene.width]
    if part.shape[:2] != (scene.height, scene.width):
        raise DataError(
            f"the window {scene.id} exceeds the image's {width} x {height} px: "
            "the file changed since the scenes were found",
            where=path,
        )
    return part
