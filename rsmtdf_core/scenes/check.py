"""Check a dataset before hours are spent on it, by opening every file.

`find_scenes` stops at the first fault. This check lists all of them, counts the pixels of each class and finds images
that are in two splits under different names.
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
    """A problem with a file.

    Attributes:
        file: posix path relative to the data root; bytes that are not text are shown as Latin-1.
        what: a sentence on the problem.
        kind: a label that problems of one kind share; empty if they share the whole sentence.
    """

    file: Annotated[str, BeforeValidator(readable)]
    what: str
    kind: str = ""


def grouped(problems: Sequence[Problem], most: int) -> list[tuple[Problem, int]]:
    """Return at most `most` problems of each kind, in their order, each with a number of omitted problems.

    That number is 0 except for the last problem of a kind.
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
    """The contents of a split.

    Attributes:
        name: the name of the split.
        scenes: number of scenes.
        labeled: number of scenes with a mask.
        unlabeled: images without a mask, posix paths relative to the data root.
        pixels: number of pixels of each class, in the readable masks.
        ignored: number of pixels of these masks without a class.
    """

    name: str
    scenes: int
    labeled: int
    unlabeled: tuple[Annotated[str, BeforeValidator(readable)], ...]
    pixels: dict[str, int]
    ignored: int


class DatasetCheck(Settings):
    """The result of a check: `problems` must be corrected, `notes` may be intended.

    Attributes:
        manifest: the name of the manifest.
        splits: the contents of each split.
        problems: the problems, sorted by file.
        notes: sentences on facts that may be intended.
        hints: changes to the manifest that would solve many problems at once.
        unmatched: number of mask pixels whose color matches no class and that are ignored.
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
class _PairCheck:
    """The contents of a pair.

    Attributes:
        scenes: the scenes of its image, if it could be opened.
        pixels: pixel counts of each scene whose mask could be read, int64 [C + 1], ignored pixels last.
        content: digests of its image, if it could be read.
        problems: the problems with its files.
        unknown: number of mask pixels of each value that no class has.
        frame: size and georeference of its image, if it could be opened.
        turned: whether the image is shown turned, by its orientation tag.
        gaps: for strips with missing data, where they have data: packed bits by top row, until the mask is read.
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
        manifest: the manifest of the dataset.
        root: the data root.
        on_scene: called after each image file, in the caller's thread.

    Raises:
        MissingFileError, DataError: If the check cannot start, see `find_pairs` and `split_pairs`.
    """
    pairs = find_pairs(manifest, root)
    splits = split_pairs(manifest, pairs)
    used = list({pair.id: pair for members in splits.values() for pair in members}.values())
    pair_checks: dict[str, _PairCheck] = {}
    # Decoding uses a full core, and the memory of a raster, so there are no more threads than cores.
    opened_pairs = in_threads(lambda pair: _open_pair(manifest, root, pair), used, cpu_count())
    for pair, pair_check in zip(used, opened_pairs, strict=True):
        pair_checks[pair.id] = pair_check
        if on_scene is not None:
            on_scene()
    problems = [problem for pair_check in pair_checks.values() for problem in pair_check.problems]
    problems += _lone_masks(manifest, root, pairs)
    scenes: dict[SplitName, tuple[Scene, ...]] = {}
    for split, members in splits.items():
        if split != "train":
            problems += _missing_masks(split, members)
        cut = [scene for pair in members for scene in pair_checks[pair.id].scenes]
        scenes[split] = choose_scenes(manifest, split, cut)
        opened = {pair.id for pair in members if pair_checks[pair.id].scenes}
        problems += [
            Problem(
                file=scene, what=f"splits.{split} lists this scene, which its image does not have"
            )
            for scene in missing_scenes(manifest, split, scenes[split])
            if image_id(scene) in opened
        ]
    refuse_shared(manifest, scenes)
    problems += _labeled_without_mask(manifest, scenes.get("train", ()))
    problems += _duplicates(splits, pair_checks)
    split_checks = tuple(
        _split_check(manifest, split, members, pair_checks) for split, members in scenes.items()
    )
    unknown: Counter[str] = Counter()
    for pair_check in pair_checks.values():
        unknown.update(pair_check.unknown)
    hint = unknown_values_hint(unknown, manifest)
    return DatasetCheck(
        manifest=manifest.name,
        splits=split_checks,
        problems=tuple(dict.fromkeys(sorted(problems, key=lambda problem: problem.file))),
        notes=(
            *_lacking(split_checks),
            *_left_out(manifest, len(pairs) - len(used), pair_checks),
            *_listed(manifest),
        ),
        hints=() if hint is None else (hint,),
        unmatched=unknown.total() if manifest.mask_encoding.tolerant else 0,
        copies=tuple(
            find_copies(
                pair_check.content for pair_check in pair_checks.values() if pair_check.content
            )
        ),
    )


def _left_out(manifest: Manifest, unused: int, pair_checks: dict[str, _PairCheck]) -> Iterator[str]:
    """Yield notes on images and pixels that will not be used."""
    if unused:
        yield f"{unused} images are in no split"
    yield from orientation_note(
        [pair.scenes[0].image for pair in pair_checks.values() if pair.turned and pair.scenes]
    )
    masks = [pair.unknown.total() for pair in pair_checks.values() if pair.unknown]
    if masks and manifest.mask_encoding.tolerant:
        yield f"{sum(masks):,} pixels of {len(masks)} masks match no class and are ignored"


def _listed(manifest: Manifest) -> Iterator[str]:
    if manifest.labeled is not None:
        scenes = counted(len(manifest.labeled), "training scene")
        yield f"listed as labeled: {scenes}; masks of other training scenes are not used"


def _open_pair(manifest: Manifest, root: Path, pair: ScenePair) -> _PairCheck:
    pair_check = _PairCheck()
    try:
        _open_image(manifest, root, pair, pair_check)
    except RsmtdfError as error:
        pair_check.problems.append(Problem(file=pair.image, what=error.what))
    if pair.mask is not None:
        try:
            _open_mask(manifest, root, pair.mask, pair_check)
        except RsmtdfError as error:
            pair_check.problems.append(Problem(file=pair.mask, what=error.what))
    pair_check.gaps.clear()
    return pair_check


def _open_image(manifest: Manifest, root: Path, pair: ScenePair, pair_check: _PairCheck) -> None:
    with open_raster(root / pair.image, manifest.bands) as raster:
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
    pair_check.content = content.of(root, pair.image)
    pair_check.scenes = list(cut_scenes(pair, size, manifest.window))


def _open_mask(manifest: Manifest, root: Path, path: str, pair_check: _PairCheck) -> None:
    with open_mask(root / path, manifest) as mask:
        size, frame = mask.size, mask.image.frame
        same = pair_check.frame is not None and size == (
            pair_check.frame.width,
            pair_check.frame.height,
        )
        for part in strips(size):
            ids, strange = mask.class_ids(part)
            pair_check.unknown.update(strange)
            if same and part[0] in pair_check.gaps:
                valid = np.unpackbits(pair_check.gaps[part[0]], axis=1, count=size[0]).astype(bool)
                ids[~valid] = manifest.ignore_id
            _count(manifest, ids, part[0], pair_check)
    if pair_check.unknown and not manifest.mask_encoding.tolerant:
        sentence = unknown_values(pair_check.unknown)
        pair_check.problems.append(Problem(file=path, what=sentence, kind="unknown values"))
    if pair_check.frame is None:
        return
    if not same:
        image = pair_check.frame.height, pair_check.frame.width
        sentence = size_differs(size[::-1], image)
        if pair_check.turned and size[::-1] == image[::-1]:
            sentence += "; the image is turned by its orientation tag, the mask is not"
        pair_check.problems.append(Problem(file=path, what=sentence, kind="size differs"))
    if apart(pair_check.frame, frame):
        pair_check.problems.append(
            Problem(file=path, what="the georeferences of the mask and its image do not overlap")
        )


def _count(
    manifest: Manifest, ids: npt.NDArray[np.uint8], top: int, pair_check: _PairCheck
) -> None:
    """Add the rows of a mask, from row `top` on, to the counts of the scenes that contain them."""
    kept = [*range(len(manifest.classes)), manifest.ignore_id]
    for scene in pair_check.scenes:
        left, first = (scene.window.left, scene.window.top) if scene.window else (0, 0)
        rows = slice(max(0, first - top), max(0, first + scene.height - top))
        counts = np.bincount(ids[rows, left : left + scene.width].ravel(), minlength=256)[kept]
        pair_check.pixels[scene.id] = (
            pair_check.pixels.get(scene.id, np.zeros_like(counts)) + counts
        )


def _lone_masks(manifest: Manifest, root: Path, pairs: Sequence[ScenePair]) -> list[Problem]:
    """Masks without an image, usually a sign of inconsistent names."""
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
    """Missing masks of a scored split, which must have all masks or, if its publisher withholds them, none."""
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
    splits: Mapping[SplitName, Sequence[ScenePair]], pair_checks: Mapping[str, _PairCheck]
) -> list[Problem]:
    contents: dict[str, list[Content]] = {
        split: [
            content for pair in members if (content := pair_checks[pair.id].content) is not None
        ]
        for split, members in splits.items()
    }
    return [
        Problem(file=file, what=sentence, kind="duplicate")
        for file, sentence in find_duplicates(contents)
    ]


def _split_check(
    manifest: Manifest,
    split: SplitName,
    scenes: Sequence[Scene],
    pair_checks: dict[str, _PairCheck],
) -> SplitCheck:
    counted = {
        scene: counts for pair in pair_checks.values() for scene, counts in pair.pixels.items()
    }
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
    """Yield notes on splits without scenes, masks or pixels of a class."""
    for check in checks:
        absent = [name for name, count in check.pixels.items() if count == 0]
        if check.scenes == 0:
            yield f"split {check.name} has no scene"
        elif check.labeled == 0:
            yield f"split {check.name} has no labeled scene"
        elif absent:
            yield f"split {check.name} has no pixel of {', '.join(absent)}"
