"""Open an image and its mask, count the pixels of each class and list problems (tests: test_check.py)."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import RsmtdfError, UnknownValuesError
from rsmtdf_core.scenes.duplicates import Content, ContentHash
from rsmtdf_core.scenes.files import MaskFile, open_labels, strips
from rsmtdf_core.scenes.find import open_scenes
from rsmtdf_core.scenes.image_labels import ImageLabels
from rsmtdf_core.scenes.images.frame import Frame, apart
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.problems import Problem
from rsmtdf_core.scenes.rasters import open_raster
from rsmtdf_core.scenes.reader import size_differs, unknown_values
from rsmtdf_core.scenes.scene import Scene, ScenePair, cut_scenes
from rsmtdf_core.scenes.shapes.mask import ShapeMask
from rsmtdf_core.scenes.shapes.settings import DrawnMasks


@dataclass
class PairCheck:
    """The contents of a pair.

    Attributes:
        scenes: the scenes of its image, if it could be opened.
        pixels: pixel counts of each scene whose mask could be read, int64 [C + 1], ignored pixels last.
        content: digests of its image, if it could be read.
        problems: the problems with its files.
        unknown: number of mask pixels of each value that no class has.
        frame: size and georeference of its image, if it could be opened.
        turned: whether the image is shown turned, by its orientation tag.
        labels: the labels of its image, if they are shapes.
        contested: number of pixels that shapes of different classes cover.
        gaps: for strips with missing data, where they have data: packed bits by top row, until the mask is read.
    """

    scenes: list[Scene] = field(default_factory=list)
    pixels: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    content: Content | None = None
    problems: list[Problem] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)
    frame: Frame | None = None
    turned: bool = False
    labels: ImageLabels | None = None
    contested: int = 0
    gaps: dict[int, npt.NDArray[np.uint8]] = field(default_factory=dict)


def open_pair(manifest: Manifest, root: Path, pair: ScenePair) -> PairCheck:
    """Open the files of a pair; problems with them are listed, not raised."""
    pair_check = PairCheck()
    try:
        _open_image(manifest, root, pair, pair_check)
    except RsmtdfError as error:
        pair_check.problems.append(Problem(file=_file_of(error, root, pair), what=error.what))
    if pair.mask is not None:
        try:
            _open_mask(manifest, root, pair, pair.mask, pair_check)
        except UnknownValuesError as error:
            pair_check.unknown.update(error.values)
            pair_check.problems.append(
                Problem(file=pair.mask, what=error.what, kind="unknown values")
            )
        except RsmtdfError as error:
            pair_check.problems.append(Problem(file=pair.mask, what=error.what))
    pair_check.gaps.clear()
    return pair_check


def _file_of(error: RsmtdfError, root: Path, pair: ScenePair) -> str:
    """Return the file of an image at which an error occurred, as one of several may be damaged."""
    return next((file for file in pair.files if error.where == str(root / file)), pair.image)


def _open_image(manifest: Manifest, root: Path, pair: ScenePair, pair_check: PairCheck) -> None:
    with open_raster(pair.source(root), manifest.bands) as raster:
        pair_check.frame, size = raster.frame, raster.image.size
        pair_check.turned = raster.image.turned
        content = ContentHash(size)
        has_data = False
        for part in strips(size):
            pixels, valid = raster.read(*part)
            content.add(pixels)
            has_data |= bool(valid.any())
            if not valid.all():
                pair_check.gaps[part[0]] = np.packbits(valid, axis=1)
    if not has_data:
        pair_check.problems.append(Problem(file=pair.image, what="every pixel is nodata"))
    pair_check.content = content.of(root, pair.files)
    pair_check.scenes = list(cut_scenes(pair, size, manifest.window))


def _open_mask(
    manifest: Manifest, root: Path, pair: ScenePair, path: str, pair_check: PairCheck
) -> None:
    if isinstance(manifest.mask_encoding, DrawnMasks):
        if pair_check.frame is None:
            return  # shapes are drawn on the pixels of the image, which cannot be read
        opened = open_scenes(manifest, root, pair)
        pair_check.scenes, pair_check.labels = opened.scenes, opened.labels
    frame = pair_check.frame or Frame(0, 0)
    with open_labels(manifest, root, path, pair.image, frame) as mask:
        _count_strips(manifest, mask, pair_check)
        frame = mask.frame
    if pair_check.unknown and not manifest.mask_encoding.tolerant:
        sentence = unknown_values(pair_check.unknown)
        pair_check.problems.append(Problem(file=path, what=sentence, kind="unknown values"))
    if pair_check.frame is not None:
        pair_check.problems += _differences(path, pair_check.frame, frame, turned=pair_check.turned)


def _count_strips(manifest: Manifest, mask: MaskFile | ShapeMask, pair_check: PairCheck) -> None:
    """Count the class ids of a mask, strip by strip; pixels without image data are ignored."""
    size, image = mask.size, pair_check.frame
    same = image is not None and size == (image.width, image.height)
    for part in strips(size):
        ids, strange = mask.class_ids(part)
        pair_check.unknown.update(strange)
        if isinstance(mask, ShapeMask):
            pair_check.contested += mask.contested(part)
        if same and part[0] in pair_check.gaps:
            valid = np.unpackbits(pair_check.gaps[part[0]], axis=1, count=size[0]).astype(bool)
            ids[~valid] = manifest.ignore_id
        _count(manifest, ids, part[0], pair_check)


def _differences(path: str, image: Frame, mask: Frame, *, turned: bool) -> Iterator[Problem]:
    """Yield problems with the size and place of a mask compared with its image."""
    if (mask.width, mask.height) != (image.width, image.height):
        sentence = size_differs((mask.height, mask.width), (image.height, image.width))
        if turned and (mask.height, mask.width) == (image.width, image.height):
            sentence += "; the image is turned by its orientation tag, the mask is not"
        yield Problem(file=path, what=sentence, kind="size differs")
    if apart(image, mask):
        sentence = "the georeferences of the mask and its image do not overlap"
        yield Problem(file=path, what=sentence)


def _count(manifest: Manifest, ids: npt.NDArray[np.uint8], top: int, pair_check: PairCheck) -> None:
    """Add the rows of a mask, from row `top` on, to the counts of the scenes that contain them."""
    kept = [*range(len(manifest.classes)), manifest.ignore_id]
    for scene in pair_check.scenes:
        left, first = (scene.window.left, scene.window.top) if scene.window else (0, 0)
        rows = slice(max(0, first - top), max(0, first + scene.height - top))
        if scene.mask is None:
            continue
        counts = np.bincount(ids[rows, left : left + scene.width].ravel(), minlength=256)[kept]
        pair_check.pixels[scene.id] = (
            pair_check.pixels.get(scene.id, np.zeros_like(counts)) + counts
        )
