"""A dataset checked against the disk before hours are spent on it: every file is opened.

Where `find_scenes` stops at the first fault, this names all of them and counts the pixels of each
class.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import RsmtdfError
from rsmtdf_core.manifests.files import read_image, read_mask
from rsmtdf_core.manifests.masks import encode_mask
from rsmtdf_core.manifests.patterns import match_files
from rsmtdf_core.manifests.reader import size_differs, unknown_values
from rsmtdf_core.manifests.scenes import (
    Scene,
    ScenePair,
    choose_scenes,
    cut_scenes,
    find_pairs,
    in_threads,
    missing_scenes,
    refuse_shared,
    split_pairs,
)
from rsmtdf_core.manifests.schema import Manifest, SplitName
from rsmtdf_core.settings import Settings


class Problem(Settings):
    """A file, as posix path relative to the data root, and what is wrong with it."""

    file: str
    what: str


class SplitCheck(Settings):
    """What a split holds; pixels are those of masks that could be read."""

    name: str
    scenes: int
    labeled: int
    pixels: dict[str, int]
    ignored: int


class DatasetCheck(Settings):
    """The outcome: `problems` are to be mended, `notes` are to be known.

    Attributes:
        manifest: its name.
        splits: what each holds.
        problems: wrong files.
        notes: what may be meant so.
        unmatched: pixels of masks whose colour matches no class and that are ignored.
    """

    manifest: str
    splits: tuple[SplitCheck, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    unmatched: int = 0


@dataclass
class _Seen:
    """What was found in one pair.

    Attributes:
        scenes: those of its image, where that could be opened.
        pixels: of each scene whose mask could be read, int64 [C + 1], ignored pixels last.
        problems: what is wrong with its files.
        unknown: pixels of the mask that match no class and are ignored.
    """

    scenes: list[Scene] = field(default_factory=list)
    pixels: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unknown: int = 0


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
    scenes: dict[SplitName, tuple[Scene, ...]] = {}
    for split, members in splits.items():
        if split != "train":
            problems += _missing_masks(split, members)
        cut = [scene for pair in members for scene in seen[pair.id].scenes]
        scenes[split] = choose_scenes(manifest, split, cut)
        opened = {pair.id for pair in members if seen[pair.id].scenes}
        problems += [
            Problem(file=scene, what=f"splits.{split} lists this scene, which is outside its image")
            for scene in missing_scenes(manifest, split, scenes[split])
            if scene.rpartition("@")[0] in opened
        ]
    refuse_shared(manifest, scenes)
    checks = tuple(_split_check(manifest, split, some, seen) for split, some in scenes.items())
    return DatasetCheck(
        manifest=manifest.name,
        splits=checks,
        problems=tuple(dict.fromkeys(sorted(problems, key=lambda problem: problem.file))),
        notes=(*_notes(checks), *_left_out(len(pairs) - len(used), seen), *_listed(manifest)),
        unmatched=sum(found.unknown for found in seen.values()),
    )


def _left_out(unused: int, seen: dict[str, _Seen]) -> Iterator[str]:
    """Notes on images and pixels that will not be used."""
    if unused:
        yield f"{unused} images are in no split"
    masks = [found.unknown for found in seen.values() if found.unknown]
    if masks:
        yield f"{sum(masks):,} pixels of {len(masks)} masks match no class and are ignored"


def _listed(manifest: Manifest) -> Iterator[str]:
    if manifest.labeled is not None:
        yield f"{len(manifest.labeled)} training scenes are listed as labeled; masks of others are not learnt"


def _open_pair(manifest: Manifest, root: Path, pair: ScenePair) -> _Seen:
    seen = _Seen()
    size: tuple[int, int] | None = None
    try:
        height, width = read_image(root / pair.image).shape[:2]
        size = height, width
        seen.scenes = list(cut_scenes(pair, (width, height), manifest.window))
    except RsmtdfError as error:
        seen.problems.append(Problem(file=pair.image, what=error.what))
    if pair.mask is None:
        return seen
    try:
        ids, unknown = encode_mask(read_mask(root / pair.mask, manifest), manifest)
    except RsmtdfError as error:
        seen.problems.append(Problem(file=pair.mask, what=error.what))
        return seen
    if unknown and manifest.mask_encoding.tolerant:
        seen.unknown = sum(unknown.values())
    elif unknown:
        seen.problems.append(Problem(file=pair.mask, what=unknown_values(unknown)))
    if size is not None and ids.shape != size:
        seen.problems.append(Problem(file=pair.mask, what=size_differs(ids.shape, size)))
    for scene in seen.scenes:
        left, top = (scene.window.left, scene.window.top) if scene.window else (0, 0)
        part = ids[top : top + scene.height, left : left + scene.width]
        counts = np.bincount(part.ravel(), minlength=256)
        kept = [*range(len(manifest.classes)), manifest.ignore_id]
        seen.pixels[scene.id] = counts[kept]
    return seen


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


def _split_check(
    manifest: Manifest, split: SplitName, scenes: Sequence[Scene], seen: dict[str, _Seen]
) -> SplitCheck:
    counted = {scene: counts for found in seen.values() for scene, counts in found.pixels.items()}
    pixels = np.zeros(len(manifest.classes) + 1, np.int64)
    for scene in scenes:
        pixels += counted.get(scene.id, 0)
    return SplitCheck(
        name=split,
        scenes=len(scenes),
        labeled=sum(1 for scene in scenes if scene.mask is not None),
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
