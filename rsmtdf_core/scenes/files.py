"""Read the image and mask files of a manifest: sizes, pixels as uint8 and class ids, opening each file once."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import DataError
from rsmtdf_core.fingerprints import file_sha256
from rsmtdf_core.scenes.bands import BandSettings
from rsmtdf_core.scenes.images.companions import companions
from rsmtdf_core.scenes.images.file import ImageFile, open_image
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.images.grid import same_area
from rsmtdf_core.scenes.images.labels import (
    Labels,
    holds_colors,
    holds_grays,
    holds_numbers,
    read_colors,
    read_numbers,
)
from rsmtdf_core.scenes.images.orientation import Region
from rsmtdf_core.scenes.images.source import Source
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.masks import encode_mask
from rsmtdf_core.scenes.patterns import filled
from rsmtdf_core.scenes.pixel_masks import IndexMasks, color_rgb
from rsmtdf_core.scenes.rasters import choose_bands, first_bands, open_raster, read_values
from rsmtdf_core.scenes.shapes.labels import read_image_labels, read_labels
from rsmtdf_core.scenes.shapes.mask import ShapeMask
from rsmtdf_core.scenes.shapes.settings import AnnotationMasks, DrawnMasks, ShapeMasks

_STRIP = 1024  # rows read at a time when the whole image is needed


def image_size(source: Source, bands: BandSettings | None = None) -> tuple[int, int]:
    """Return width and height, px, from the header.

    Raises:
        MissingFileError, DataError: If the file is missing, not an image, or lacks a band.
    """
    with open_raster(source, bands) as raster:
        return raster.image.size


def read_image(path: Path, bands: BandSettings | None = None) -> npt.NDArray[Any]:
    """Read an image's pixels [H, W, C], RGB first; gray becomes three equal bands, pixels without data black.

    Args:
        path: the file.
        bands: the manifest's choice of bands.

    Returns:
        uint8; without a choice of bands, samples of more than 8 bits keep their values.

    Raises:
        MissingFileError, DataError: If the file is missing, not an image, truncated, or lacks a band.
    """
    with open_image(path) as image:
        if bands is None and not image.eight_bits:
            indices = first_bands(image).indices
            values, valid = read_values(image, indices, image.whole())
            values[~valid] = 0
            return values
        return choose_bands(image, bands).read_all()[0]


def strips(size: tuple[int, int]) -> Iterator[Region]:
    """Yield the strips of an image of `size` (width, height), from the top downward."""
    width, height = size
    for top in range(0, height, _STRIP):
        yield top, 0, min(_STRIP, height - top), width


class MaskFile:
    """An open mask with the encoding of a manifest, from `open_mask`; not thread-safe.

    Attributes:
        image: the file.
    """

    def __init__(self, image: ImageFile, manifest: Manifest) -> None:
        self.image = image
        self._manifest = manifest

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, px."""
        return self.image.size

    @property
    def frame(self) -> Frame:
        """Size and georeference."""
        return self.image.frame

    def raw(self, part: Region | None = None) -> Labels:
        """Read the stored values, integers [h, w] for "indices", uint8 [h, w, 3] for "colors", and where it has data.

        Raises:
            DataError: If the file is damaged, or holds numbers that are not whole.
        """
        indices = isinstance(self._manifest.mask_encoding, IndexMasks)
        return read_numbers(self.image, part) if indices else read_colors(self.image, part)

    def class_ids(self, part: Region | None = None) -> tuple[npt.NDArray[np.uint8], dict[str, int]]:
        """Read class ids, uint8 [h, w], and the number of pixels of each value that no class has; see `encode_mask`.

        Raises:
            DataError: As for `raw`.
        """
        raw, valid = self.raw(part)
        return encode_mask(raw, self._manifest, valid)


@contextmanager
def open_mask(path: Path, manifest: Manifest, grid: Frame | None = None) -> Iterator[MaskFile]:
    """Open a mask; no pixel is decoded yet.

    Gray masks, such as those of 0 and 255, count as colors if all colors of the manifest are gray.

    Args:
        path: the file.
        manifest: the manifest.
        grid: size and georeference of the image. A georeferenced mask of the same area gets its size: pixels of the
            image have the class of the mask's nearest pixel.

    Raises:
        MissingFileError, DataError: If the file is missing, not an image, or does not fit the manifest's encoding.
    """
    encoding = manifest.mask_encoding
    with ExitStack() as opened:
        image = opened.enter_context(open_image(path))
        if grid is not None and image.frame.bounds and same_area(grid, image.frame):
            image = opened.enter_context(image.on_grid(grid, "nearest"))
        if isinstance(encoding, IndexMasks):
            if not holds_numbers(image):
                raise _wrong_kind(image, "one band of class indices", "colors")
        else:
            assert not isinstance(encoding, DrawnMasks), "shapes have no file of pixels"
            colors = [*encoding.class_ids(manifest.classes), *encoding.ignore]
            if not holds_colors(image) and not (holds_grays(image) and _are_gray(colors)):
                raise _wrong_kind(image, "colors", "indices")
        yield MaskFile(image, manifest)


@contextmanager
def open_labels(
    manifest: Manifest, root: Path, mask: str, image: str, frame: Frame
) -> Iterator[MaskFile | ShapeMask]:
    """Open the mask of an image, whatever its encoding; no pixel is decoded yet.

    Args:
        manifest: the manifest.
        root: the data root.
        mask: posix path of the mask relative to the root.
        image: that of the image.
        frame: size and georeference of the image, on which shapes are drawn, and the masks of stacked files.

    Raises:
        MissingFileError, DataError: As for `open_mask` and `open_shapes`.
    """
    if isinstance(manifest.mask_encoding, DrawnMasks):
        yield open_shapes(manifest, root, mask, image, frame)
        return
    stacked = len(manifest.image_patterns) > 1
    with open_mask(root / mask, manifest, frame if stacked else None) as file:
        yield file


def open_shapes(manifest: Manifest, root: Path, mask: str, image: str, frame: Frame) -> ShapeMask:
    """Open the mask of an image whose labels are shapes, as `open_labels`.

    Raises:
        MissingFileError: If the labels or the annotated area are missing.
        DataError: If they cannot be read, do not fit the manifest, or have no place on the image.
    """
    encoding, pattern = manifest.mask_encoding, manifest.area_pattern
    classes = manifest.class_names, manifest.ignore_id
    if isinstance(encoding, AnnotationMasks):
        labels = read_image_labels(root / mask, image, frame, encoding, *classes)
        return ShapeMask(labels, frame)
    assert isinstance(encoding, ShapeMasks)
    assert manifest.masks is not None
    area = None if pattern is None else root / filled(pattern, manifest.masks, mask)
    return ShapeMask(read_labels(root / mask, area, encoding, *classes), frame)


def mask_digests(manifest: Manifest, root: Path, mask: str, image: str) -> list[str]:
    """Return digests of everything that decides the class ids of an image's mask, except manifest and image pixels.

    Raises:
        MissingFileError, DataError: As for `open_labels`.
    """
    if isinstance(manifest.mask_encoding, DrawnMasks):
        with open_image(root / image) as file:
            return list(open_shapes(manifest, root, mask, image, file.frame).digest)
    return [*map(file_sha256, (root / mask, *companions(root / mask)))]


def _are_gray(colors: Iterable[str]) -> bool:
    return all(len(set(color_rgb(color))) == 1 for color in colors)


def _wrong_kind(image: ImageFile, expected: str, other: str) -> DataError:
    return DataError(
        f"the manifest expects a mask with {expected}, found {image.describe()}",
        where=image.path,
        remedy=f"if the masks hold {other}, set mask_encoding.encoding to that in the manifest",
    )
