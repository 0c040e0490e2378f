"""Labels drawn as shapes: which images and windows have any."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.files import open_shapes
from rsmtdf_core.scenes.images.file import ImageFile
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.shapes.mask import ShapeMask
from rsmtdf_core.scenes.shapes.settings import ShapeMasks

NOWHERE = "the labels meet none of their images"
NOWHERE_REMEDY = (
    "compare their coordinate reference systems and areas in QGIS; mask_encoding.crs in the manifest corrects that of "
    "the labels"
)


@dataclass(frozen=True, eq=False)
class ImageLabels:
    """The labels of an image.

    Attributes:
        path: posix path of their file relative to the root.
        mask: the labels on the image.
    """

    path: str
    mask: ShapeMask


def find_labels(manifest: Manifest, root: Path, mask: str, image: ImageFile) -> ImageLabels | None:
    """Place the labels of an image; None if the masks of the manifest are images.

    Raises:
        MissingFileError: If the labels are missing.
        DataError: If they cannot be read, do not fit the manifest, or have no place on the image.
    """
    if not isinstance(manifest.mask_encoding, ShapeMasks):
        return None
    if image.turned:
        raise DataError(
            "the image is turned by its orientation tag, so labels in map coordinates have no place on it",
            where=image.path,
            remedy=f"gdal_translate {image.path.name} {image.path.stem}-plain.tif, and use that file",
        )
    try:
        return ImageLabels(mask, open_shapes(manifest, root, mask, image.frame))
    except DataError as error:
        raise DataError(error.what, where=error.where or image.path, remedy=error.remedy) from None


def unplaced(labels: Sequence[ImageLabels]) -> Iterator[str]:
    """Yield the files whose shapes meet none of their images."""
    placed = {image.path for image in labels if not image.mask.empty}
    return (path for path in dict.fromkeys(image.path for image in labels) if path not in placed)


def label_notes(labels: Sequence[ImageLabels]) -> tuple[str, ...]:
    """Return a sentence for each peculiarity of the files, with the file's name."""
    notes = (f"{image.path}: {note}" for image in labels for note in image.mask.notes)
    return tuple(dict.fromkeys(notes))
