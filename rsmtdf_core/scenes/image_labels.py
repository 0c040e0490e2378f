"""Labels drawn as shapes: which images and windows have any."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rsmtdf_core.errors import DataError, RsmtdfError
from rsmtdf_core.scenes.files import open_shapes
from rsmtdf_core.scenes.images.file import ImageFile
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.problems import Problem
from rsmtdf_core.scenes.shapes.features import Note
from rsmtdf_core.scenes.shapes.formats import read_annotations
from rsmtdf_core.scenes.shapes.mask import ShapeMask
from rsmtdf_core.scenes.shapes.settings import AnnotationMasks, DrawnMasks, ShapeMasks
from rsmtdf_core.words import counted


@dataclass(frozen=True, eq=False)
class ImageLabels:
    """The labels of an image.

    Attributes:
        path: posix path of their file relative to the root.
        mask: the labels on the image.
    """

    path: str
    mask: ShapeMask


def find_labels(
    manifest: Manifest, root: Path, mask: str, image: str, file: ImageFile
) -> ImageLabels | None:
    """Place the labels of an image; None if the masks of the manifest are images.

    Args:
        manifest: the manifest.
        root: the data root.
        mask: posix path of the labels relative to the root.
        image: that of the image.
        file: the open image.

    Raises:
        MissingFileError: If the labels are missing.
        DataError: If they cannot be read, do not fit the manifest, or have no place on the image.
    """
    if not isinstance(manifest.mask_encoding, DrawnMasks):
        return None
    if file.turned and isinstance(manifest.mask_encoding, ShapeMasks):
        raise DataError(
            "the image is turned by its orientation tag, so labels in map coordinates have no place on it",
            where=file.path,
            remedy=f"gdal_translate {file.path.name} {file.path.stem}-plain.tif, and use that file",
        )
    try:
        return ImageLabels(mask, open_shapes(manifest, root, mask, image, file.frame))
    except DataError as error:
        error.where = error.where or str(file.path)
        raise


def unplaced(manifest: Manifest, labels: Sequence[ImageLabels]) -> Iterator[tuple[str, DataError]]:
    """Yield the files without a label on any of their images, each with an error that explains it."""
    placed = {image.path for image in labels if not image.mask.empty}
    if isinstance(manifest.mask_encoding, AnnotationMasks):
        what = "the file lists none of the images"
        remedy = "compare the names in it with those below the root, or correct `images` and `masks` in the manifest"
    else:
        what = "the labels meet none of their images"
        remedy = (
            "compare their coordinate reference systems and areas in QGIS; mask_encoding.crs in the manifest corrects "
            "that of the labels"
        )
    for path in dict.fromkeys(image.path for image in labels):
        if path not in placed:
            yield path, DataError(what, where=path, remedy=remedy)


def label_notes(labels: Sequence[ImageLabels]) -> tuple[str, ...]:
    """Return a sentence for each peculiarity of the files, with the name of the first file."""
    facts: dict[str, dict[tuple[str, Note], None]] = defaultdict(dict)
    for image in labels:
        for note in image.mask.notes:
            facts[note.text][image.path, note] = None
    return tuple(_sentence(list(same)) for same in facts.values())


def _sentence(same: Sequence[tuple[str, Note]]) -> str:
    """Return a sentence on equal facts about files."""
    path, first = same[0]
    others = len({path for path, _ in same}) - 1
    files = f"{path} and {counted(others, 'more file')}" if others else path
    return f"{files}: {first.sentence(sum(note.count for _, note in same))}"


@dataclass(frozen=True)
class Listed:
    """The images that the files of an annotation tool list.

    Attributes:
        ambiguous: files with an entry that may be several images.
        notes: sentences on listed images that are missing.
    """

    ambiguous: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def listed_images(
    manifest: Manifest, root: Path, pairs: Iterable[tuple[str, str | None]]
) -> Listed:
    """Compare the images that files of labels list with those on disk; files that cannot be read are left out.

    Args:
        manifest: the manifest.
        root: the data root.
        pairs: posix paths of all images and of the file with their labels.
    """
    encoding = manifest.mask_encoding
    if not isinstance(encoding, AnnotationMasks):
        return Listed()
    images: dict[str, list[str]] = defaultdict(list)
    for image, mask in pairs:
        if mask is not None:
            images[mask].append(image)
    ambiguous, notes = [], []
    for mask, members in images.items():
        try:
            file = read_annotations(root / mask, encoding.encoding)
            if file.paired:
                continue
            entries = [file.find(image) for image in members]
        except RsmtdfError:
            continue
        taken: dict[int, str] = {}
        for entry, image in zip(entries, members, strict=True):
            if entry is not None and taken.setdefault(entry.number, image) != image:
                what = f"{entry.name} may be {taken[entry.number]} or {image}, and the file has it once"
                ambiguous.append(Problem(file=mask, what=what, kind="ambiguous"))
        if missing := [entry for entry in file.entries if entry.number not in taken]:
            count = counted(len(missing), "listed image")
            notes.append(
                f"{mask}: {count} of {len(file.entries)} missing, such as {missing[0].name}"
            )
    return Listed(tuple(ambiguous), tuple(notes))
