"""A dataset checked against the disk before hours are spent on it: every file is opened.

Where `find_scenes` stops at the first fault, this names all of them, counts the pixels of each class and
finds images that are in two splits under different names.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import RsmtdfError
from rsmtdf_core.manifests.duplicates import Content, ContentHash, find_duplicates
from rsmtdf_core.manifests.files import image_size, mask_size, read_mask, read_pixels, strips
from rsmtdf_core.manifests.masks import encode_mask
from rsmtdf_core.manifests.patterns import match_files
from rsmtdf_core.manifests.reader import size_differs, unknown_values
from rsmtdf_core.manifests.scenes import (
    ScenePair,
    cut_scenes,
    find_pairs,
    in_threads,
    split_pairs,
)
from rsmtdf_core.manifests.schema import Manifest
from rsmtdf_core.settings import Settings


class Problem(Settings):
    """A file, as posix path relative to the data root, and what is wrong with it."""

    file: str
    what: str


class SplitCheck(Settings):
    """What a split holds.

    Attributes:
        name: of the split.
        scenes: how many.
        labeled: how many of them have a mask.
        unlabeled: images without a mask, posix paths relative to the data root.
        pixels: of each class, in the masks that could be read.
        ignored: pixels of these masks that have no class.
    """

    name: str
    scenes: int
    labeled: int
    unlabeled: tuple[str, ...]
    pixels: dict[str, int]
    ignored: int


class DatasetCheck(Settings):
    """The outcome: `problems` are to be mended, `notes` are to be known."""

    manifest: str
    splits: tuple[SplitCheck, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


@dataclass
class _Seen:
    """What was found in one pair; pixel counts int64 [C + 1], ignored pixels last.

    The content is None where the image could not be read.
    """

    pixels: npt.NDArray[np.int64]
    scenes: int = 0
    content: Content | None = None
    problems: list[Problem] = field(default_factory=list)


def check_dataset(
    manifest: Manifest, root: Path, on_scene: Callable[[], None] | None = None
) -> DatasetCheck:
    """Open every image and mask of every split.

    Args:
        manifest: says what should be there.
        root: the data root.
        on_scene: called after each image file, in the caller's thread.

    Raises:
        MissingFileError, DataError: nothing can be checked, see `find_pairs` and `split_pairs`.
    """
    pairs = find_pairs(manifest, root)
    splits = split_pairs(manifest, pairs)
    used = list({pair.id: pair for members in splits.values() for pair in members}.values())
    seen: dict[str, _Seen] = {}
    for pair, found in zip(
        used, in_threads(lambda pair: _open_pair(manifest, root, pair), used), strict=True
    ):
        seen[pair.id] = found
        if on_scene is not None:
            on_scene()
    problems = [problem for found in seen.values() for problem in found.problems]
    problems += _lone_masks(manifest, root, pairs)
    for split, members in splits.items():
        if split != "train":
            problems += _missing_masks(split, members)
    problems += _duplicates(splits, seen)
    checks = tuple(
        _split_check(manifest, split, members, seen) for split, members in splits.items()
    )
    unused = len(pairs) - len(used)
    return DatasetCheck(
        manifest=manifest.name,
        splits=checks,
        problems=tuple(dict.fromkeys(sorted(problems, key=lambda problem: problem.file))),
        notes=tuple(_notes(checks)) + ((f"{unused} images are in no split",) if unused else ()),
    )


def _open_pair(manifest: Manifest, root: Path, pair: ScenePair) -> _Seen:
    seen = _Seen(np.zeros(len(manifest.classes) + 1, np.int64))
    size: tuple[int, int] | None = None
    bands = manifest.bands
    try:
        size = image_size(root / pair.image, bands)
        content = ContentHash(size)
        has_data = False
        for part in strips(root / pair.image, bands, size):
            pixels, valid = read_pixels(root / pair.image, bands, part)
            content.add(pixels)
            has_data |= valid is None or bool(valid.any())
        if not has_data:
            seen.problems.append(Problem(file=pair.image, what="every pixel is nodata"))
        seen.content = content.of(root, pair.image)
        seen.scenes = sum(1 for _ in cut_scenes(pair, size, manifest.window))
    except RsmtdfError as error:
        seen.problems.append(Problem(file=pair.image, what=error.what))
    if pair.mask is not None:
        try:
            _open_mask(manifest, root, pair.mask, size, seen)
        except RsmtdfError as error:
            seen.problems.append(Problem(file=pair.mask, what=error.what))
    return seen


def _open_mask(
    manifest: Manifest, root: Path, mask: str, image: tuple[int, int] | None, seen: _Seen
) -> None:
    size = mask_size(root / mask)
    unknown: Counter[str] = Counter()
    counts = np.zeros(256, np.int64)
    for part in strips(root / mask, manifest.bands, size):
        ids, strange = encode_mask(read_mask(root / mask, manifest, part), manifest)
        unknown.update(strange)
        counts += np.bincount(ids.ravel(), minlength=256)
    if unknown:
        seen.problems.append(Problem(file=mask, what=unknown_values(unknown)))
    if image is not None and size != image:
        seen.problems.append(Problem(file=mask, what=size_differs(size[::-1], image[::-1])))
    seen.pixels[:-1] = counts[: len(manifest.classes)]
    seen.pixels[-1] = counts[manifest.ignore_id]


def _lone_masks(manifest: Manifest, root: Path, pairs: Sequence[ScenePair]) -> list[Problem]:
    """Masks without an image: mostly a sign that names do not fit together."""
    if manifest.masks is None:
        return []
    paired = {pair.mask for pair in pairs}
    masks = match_files(root, manifest.masks, manifest.fields).values()
    return [
        Problem(file=mask, what="no image belongs to this mask")
        for mask in masks
        if mask not in paired
    ]


def _missing_masks(split: str, members: Sequence[ScenePair]) -> list[Problem]:
    """A split that is scored either has all of its masks or, kept secret by its makers, none."""
    if not any(pair.mask for pair in members):
        return []
    return [
        Problem(file=pair.image, what=f"the mask is missing, but others of split {split} have one")
        for pair in members
        if pair.mask is None
    ]


def _duplicates(
    splits: Mapping[str, Sequence[ScenePair]], seen: Mapping[str, _Seen]
) -> list[Problem]:
    contents = {
        split: [found for pair in members if (found := seen[pair.id].content) is not None]
        for split, members in splits.items()
    }
    return [Problem(file=file, what=what) for file, what in find_duplicates(contents)]


def _split_check(
    manifest: Manifest, split: str, members: Sequence[ScenePair], seen: dict[str, _Seen]
) -> SplitCheck:
    pixels = sum(
        (seen[pair.id].pixels for pair in members), np.zeros(len(manifest.classes) + 1, np.int64)
    )
    return SplitCheck(
        name=split,
        scenes=sum(seen[pair.id].scenes for pair in members),
        labeled=sum(seen[pair.id].scenes for pair in members if pair.mask is not None),
        unlabeled=tuple(pair.image for pair in members if pair.mask is None),
        pixels=dict(zip(manifest.class_names, pixels[:-1].tolist(), strict=True)),
        ignored=int(pixels[-1]),
    )


def _notes(checks: Sequence[SplitCheck]) -> list[str]:
    notes = []
    for check in checks:
        if check.scenes == 0:
            notes.append(f"split {check.name} has no scene")
        elif check.labeled == 0:
            notes.append(f"split {check.name} has no labeled scene")
        else:
            absent = [name for name, count in check.pixels.items() if count == 0]
            notes += [f"split {check.name} has no pixel of {', '.join(absent)}"] if absent else []
    return notes
