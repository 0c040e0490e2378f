"""A dataset checked against the disk before hours are spent on it: every file is opened.

Where `find_scenes` stops at the first fault, this names all of them, counts the pixels of each class and
finds images that are in two splits under different names.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import cpu_count
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator

from rsmtdf_core.errors import RsmtdfError
from rsmtdf_core.scenes.duplicates import Content, ContentHash, find_copies, find_duplicates
from rsmtdf_core.scenes.files import open_mask, strips
from rsmtdf_core.scenes.find import (
    Scene,
    ScenePair,
    choose_scenes,
    cut_scenes,
    find_pairs,
    image_id,
    in_threads,
    missing_scenes,
    orientation_note,
    refuse_shared,
    split_pairs,
)
from rsmtdf_core.scenes.hints import unknown_values_hint
from rsmtdf_core.scenes.images.frame import Frame, apart
from rsmtdf_core.scenes.manifest import Manifest, SplitName
from rsmtdf_core.scenes.patterns import match_pairs
from rsmtdf_core.scenes.rasters import open_raster
from rsmtdf_core.scenes.reader import size_differs, unknown_values
from rsmtdf_core.settings import Settings
from rsmtdf_core.words import counted, readable


class Problem(Settings):
    """A file, as posix path relative to the data root, and what is wrong with it.

    Attributes:
        file: the path; bytes that are no text are shown as Latin-1.
        what: a sentence.
        kind: the part of the sentence that problems of one kind share; empty where that is all of it.
    """

    file: Annotated[str, BeforeValidator(readable)]
    what: str
    kind: str = ""


def grouped(problems: Sequence[Problem], most: int) -> list[tuple[Problem, int]]:
    """At most `most` problems of each kind, in their order, each with the number of further ones of its kind.

    That number is 0 but for the last of a kind.
    """
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind or problem.what, []).append(problem)
    return [
        (problem, len(same) - most if number == most else 0)
        for same in kinds.values()
        for number, problem in enumerate(same[:most], 1)
    ]


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
    unlabeled: tuple[Annotated[str, BeforeValidator(readable)], ...]
    pixels: dict[str, int]
    ignored: int


class DatasetCheck(Settings):
    """The outcome: `problems` are to be mended, `notes` are to be known.

    Attributes:
        manifest: its name.
        splits: what each holds.
        problems: wrong files.
        notes: what may be meant so.
        hints: changes to the manifest that would solve many problems at once.
        unmatched: pixels of masks whose colour matches no class and that are ignored.
        copies: groups of images with equal pixels, posix paths relative to the data root.
    """

    manifest: str
    splits: tuple[SplitCheck, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    hints: tuple[str, ...] = ()
    unmatched: int = 0
    copies: tuple[tuple[Annotated[str, BeforeValidator(readable)], ...], ...] = ()


@dataclass
class _Seen:
    """What was found in one pair.

    Attributes:
        scenes: those of its image, where that could be opened.
        pixels: of each scene whose mask could be read, int64 [C + 1], ignored pixels last.
        content: of its image, where that could be read.
        problems: what is wrong with its files.
        unknown: pixels of each value of the mask that no class has.
        frame: size and place of its image, where that could be opened.
        turned: whether the image is shown turned, as its orientation tag says.
        gaps: where the strips that lack data have some, packed bits by their top row, until the mask was read.
    """

    scenes: list[Scene] = field(default_factory=list)
    pixels: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    content: Content | None = None
    problems: list[Problem] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)
    frame: Frame | None = None
    turned: bool = False
    gaps: dict[int, npt.NDArray[np.uint8]] = field(default_factory=dict)


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
    # Decoding fills a core, and a raster's memory with it.
    contents = in_threads(lambda pair: _open_pair(manifest, root, pair), used, cpu_count())
    for pair, found in zip(used, contents, strict=True):
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
            Problem(
                file=scene, what=f"splits.{split} lists this scene, which its image does not have"
            )
            for scene in missing_scenes(manifest, split, scenes[split])
            if image_id(scene) in opened
        ]
    refuse_shared(manifest, scenes)
    problems += _labeled_without_mask(manifest, scenes.get("train", ()))
    problems += _duplicates(splits, seen)
    checks = tuple(_split_check(manifest, split, some, seen) for split, some in scenes.items())
    unknown: Counter[str] = Counter()
    for found in seen.values():
        unknown.update(found.unknown)
    hint = unknown_values_hint(unknown, manifest)
    return DatasetCheck(
        manifest=manifest.name,
        splits=checks,
        problems=tuple(dict.fromkeys(sorted(problems, key=lambda problem: problem.file))),
        notes=(
            *_lacking(checks),
            *_left_out(manifest, len(pairs) - len(used), seen),
            *_listed(manifest),
        ),
        hints=() if hint is None else (hint,),
        unmatched=unknown.total() if manifest.mask_encoding.tolerant else 0,
        copies=tuple(find_copies(found.content for found in seen.values() if found.content)),
    )


def _left_out(manifest: Manifest, unused: int, seen: dict[str, _Seen]) -> Iterator[str]:
    """Notes on images and pixels that will not be used."""
    if unused:
        yield f"{unused} images are in no split"
    yield from orientation_note(
        [found.scenes[0].image for found in seen.values() if found.turned and found.scenes]
    )
    masks = [found.unknown.total() for found in seen.values() if found.unknown]
    if masks and manifest.mask_encoding.tolerant:
        yield f"{sum(masks):,} pixels of {len(masks)} masks match no class and are ignored"


def _listed(manifest: Manifest) -> Iterator[str]:
    if manifest.labeled is not None:
        yield f"listed as labeled: {counted(len(manifest.labeled), 'training scene')}; masks of others are not learnt"


def _open_pair(manifest: Manifest, root: Path, pair: ScenePair) -> _Seen:
    seen = _Seen()
    try:
        _open_image(manifest, root, pair, seen)
    except RsmtdfError as error:
        seen.problems.append(Problem(file=pair.image, what=error.what))
    if pair.mask is not None:
        try:
            _open_mask(manifest, root, pair.mask, seen)
        except RsmtdfError as error:
            seen.problems.append(Problem(file=pair.mask, what=error.what))
    seen.gaps.clear()
    return seen


def _open_image(manifest: Manifest, root: Path, pair: ScenePair, seen: _Seen) -> None:
    with open_raster(root / pair.image, manifest.bands) as raster:
        seen.frame, size = raster.frame, raster.image.size
        seen.turned = raster.image.turned
        content = ContentHash(size)
        has_data = False
        for part in strips(size):
            pixels, valid = raster.read(*part)
            content.add(pixels)
            has_data |= bool(valid.any())
            if not valid.all():
                seen.gaps[part[0]] = np.packbits(valid, axis=1)
    if not has_data:
        seen.problems.append(Problem(file=pair.image, what="every pixel is nodata"))
    seen.content = content.of(root, pair.image)
    seen.scenes = list(cut_scenes(pair, size, manifest.window))


def _open_mask(manifest: Manifest, root: Path, path: str, seen: _Seen) -> None:
    with open_mask(root / path, manifest) as mask:
        size, frame = mask.size, mask.image.frame
        same = seen.frame is not None and size == (seen.frame.width, seen.frame.height)
        for part in strips(size):
            ids, strange = mask.class_ids(part)
            seen.unknown.update(strange)
            if same and part[0] in seen.gaps:
                valid = np.unpackbits(seen.gaps[part[0]], axis=1, count=size[0]).astype(bool)
                ids[~valid] = manifest.ignore_id
            _count(manifest, ids, part[0], seen)
    if seen.unknown and not manifest.mask_encoding.tolerant:
        what = unknown_values(seen.unknown)
        seen.problems.append(Problem(file=path, what=what, kind="unknown values"))
    if seen.frame is None:
        return
    if not same:
        image = seen.frame.height, seen.frame.width
        what = size_differs(size[::-1], image)
        if seen.turned and size[::-1] == image[::-1]:
            what += "; the image is turned as its orientation tag says, the mask is not"
        seen.problems.append(Problem(file=path, what=what, kind="size differs"))
    if apart(seen.frame, frame):
        seen.problems.append(
            Problem(file=path, what="the mask and its image are at different places on the earth")
        )


def _count(manifest: Manifest, ids: npt.NDArray[np.uint8], top: int, seen: _Seen) -> None:
    """Add the rows of a mask from `top` on to the scenes that they are part of."""
    kept = [*range(len(manifest.classes)), manifest.ignore_id]
    for scene in seen.scenes:
        left, first = (scene.window.left, scene.window.top) if scene.window else (0, 0)
        rows = slice(max(0, first - top), max(0, first + scene.height - top))
        counts = np.bincount(ids[rows, left : left + scene.width].ravel(), minlength=256)[kept]
        seen.pixels[scene.id] = seen.pixels.get(scene.id, np.zeros_like(counts)) + counts


def _lone_masks(manifest: Manifest, root: Path, pairs: Sequence[ScenePair]) -> list[Problem]:
    """Masks without an image: mostly a sign that names do not fit together."""
    if manifest.masks is None:
        return []
    paired = {pair.mask for pair in pairs}
    _, masks = match_pairs(root, manifest.images, manifest.masks, manifest.fields)
    return [
        Problem(file=mask, what="no image belongs to this mask")
        for mask in masks.values()
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


def _labeled_without_mask(manifest: Manifest, train: Sequence[Scene]) -> list[Problem]:
    listed = set(manifest.labeled or ())
    return [
        Problem(file=scene.image, what="listed under `labeled`, but it has no mask")
        for scene in train
        if scene.id in listed and scene.mask is None
    ]


def _duplicates(
    splits: Mapping[SplitName, Sequence[ScenePair]], seen: Mapping[str, _Seen]
) -> list[Problem]:
    contents: dict[str, list[Content]] = {
        split: [found for pair in members if (found := seen[pair.id].content) is not None]
        for split, members in splits.items()
    }
    return [
        Problem(file=file, what=what, kind="duplicate") for file, what in find_duplicates(contents)
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
        unlabeled=tuple(dict.fromkeys(scene.image for scene in scenes if scene.mask is None)),
        pixels=dict(zip(manifest.class_names, pixels[:-1].tolist(), strict=True)),
        ignored=int(pixels[-1]),
    )


def _lacking(checks: Sequence[SplitCheck]) -> Iterator[str]:
    """Notes on what splits do not have."""
    for check in checks:
        absent = [name for name, count in check.pixels.items() if count == 0]
        if check.scenes == 0:
            yield f"split {check.name} has no scene"
        elif check.labeled == 0:
            yield f"split {check.name} has no labeled scene"
        elif absent:
            yield f"split {check.name} has no pixel of {', '.join(absent)}"
