"""Check a dataset before hours are spent on it, by opening every file.

`find_scenes` stops at the first fault. This check lists all of them, counts the pixels of each class and finds images
that are in two splits under different names.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import cpu_count
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator

from rsmtdf_core.scenes.check_pair import PairCheck, open_pair
from rsmtdf_core.scenes.duplicates import Content, find_copies, find_duplicates
from rsmtdf_core.scenes.find import find_pairs, in_threads, orientation_note
from rsmtdf_core.scenes.hints import unknown_values_hint
from rsmtdf_core.scenes.image_labels import label_notes, listed_images, unplaced
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.members import missing_scenes, refuse_shared, split_pairs, split_scenes
from rsmtdf_core.scenes.patterns import match_stacks
from rsmtdf_core.scenes.problems import Problem
from rsmtdf_core.scenes.scene import Scene, ScenePair, image_id
from rsmtdf_core.scenes.split_settings import SplitName
from rsmtdf_core.scenes.splits import block_notes, random_notes
from rsmtdf_core.settings import Settings
from rsmtdf_core.words import counted, readable


class SplitCheck(Settings):
    """The contents of a split.

    Attributes:
        name: the name of the split.
        scenes: number of scenes.
        labeled: number of scenes with a mask.
        unlabeled: images without any labeled scene, posix paths relative to the data root.
        pixels: number of pixels of each class, in the readable masks.
        ignored: number of pixels of these masks without a class.
        left_out: number of further scenes in its blocks, which are too near to a block of another split.
    """

    name: str
    scenes: int
    labeled: int
    unlabeled: tuple[Annotated[str, BeforeValidator(readable)], ...]
    pixels: dict[str, int]
    ignored: int
    left_out: int = 0


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
    pair_checks: dict[str, PairCheck] = {}
    # Decoding uses a full core, and the memory of a raster, so there are no more threads than cores.
    opened_pairs = in_threads(lambda pair: open_pair(manifest, root, pair), used, cpu_count())
    for pair, pair_check in zip(used, opened_pairs, strict=True):
        pair_checks[pair.id] = pair_check
        if on_scene is not None:
            on_scene()
    problems = [problem for pair_check in pair_checks.values() for problem in pair_check.problems]
    problems += _lone_masks(manifest, root, pairs)
    labels = [check.labels for check in pair_checks.values() if check.labels is not None]
    problems += [
        Problem(file=path, what=f"{error.what}: {error.remedy}")
        for path, error in unplaced(manifest, labels)
    ]
    listed = listed_images(manifest, root, [(pair.image, pair.mask) for pair in pairs])
    problems += listed.ambiguous
    scenes, left_out, grid = split_scenes(manifest, splits, pair_checks)
    for split, members in splits.items():
        if split != "train":
            problems += _missing_masks(split, members)
        opened = {pair.id for pair in members if pair_checks[pair.id].scenes}
        problems += [
            Problem(
                file=scene, what=f"splits.{split} lists this scene, which its image does not have"
            )
            for scene in missing_scenes(manifest, split, grid[split])
            if image_id(scene) in opened
        ]
    refuse_shared(manifest, grid)
    problems += _labeled_without_mask(manifest, scenes.get("train", ()))
    problems += _duplicates(splits, pair_checks)
    split_checks = tuple(
        _split_check(manifest, split, members, grid[split], pair_checks, left_out.get(split, 0))
        for split, members in scenes.items()
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
            *block_notes(manifest, left_out),
            *random_notes(manifest),
            *_listed(manifest),
            *label_notes(labels),
            *listed.notes,
            *_contested(pair_checks),
        ),
        hints=() if hint is None else (hint,),
        unmatched=unknown.total() if manifest.mask_encoding.tolerant else 0,
        copies=tuple(
            find_copies(
                pair_check.content for pair_check in pair_checks.values() if pair_check.content
            )
        ),
    )


def _left_out(manifest: Manifest, unused: int, pair_checks: dict[str, PairCheck]) -> Iterator[str]:
    """Yield notes on images and pixels that will not be used."""
    if unused:
        yield f"{unused} images are in no split"
    yield from orientation_note(
        [pair.scenes[0].image for pair in pair_checks.values() if pair.turned and pair.scenes]
    )
    masks = [pair.unknown.total() for pair in pair_checks.values() if pair.unknown]
    if masks and manifest.mask_encoding.tolerant:
        yield f"{sum(masks):,} pixels of {len(masks)} masks match no class and are ignored"


def _contested(pair_checks: Mapping[str, PairCheck]) -> Iterator[str]:
    """Yield a note on pixels that shapes of different classes cover."""
    contested = [check for check in pair_checks.values() if check.contested]
    if contested and (labels := contested[0].labels) is not None:
        pixels = sum(check.contested for check in contested)
        yield (
            f"{pixels:,} pixels of {counted(len(contested), 'image')} are covered by shapes of different classes: "
            f"the last of {', '.join(labels.mask.order)} wins (`order` under mask_encoding)"
        )


def _listed(manifest: Manifest) -> Iterator[str]:
    if manifest.labeled is not None:
        scenes = counted(len(manifest.labeled), "training scene")
        yield f"listed as labeled: {scenes}; masks of other training scenes are not used"


def _lone_masks(manifest: Manifest, root: Path, pairs: Sequence[ScenePair]) -> list[Problem]:
    """Masks without an image, usually a sign of inconsistent names."""
    if manifest.masks is None:
        return []
    paired = {pair.mask for pair in pairs}
    _, masks = match_stacks(root, manifest.image_patterns, manifest.masks, manifest.fields)
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
    splits: Mapping[SplitName, Sequence[ScenePair]], pair_checks: Mapping[str, PairCheck]
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
    grid: Sequence[Scene],
    pair_checks: dict[str, PairCheck],
    left_out: int,
) -> SplitCheck:
    """Count the scenes of a split, and the pixels of its windows on the grid."""
    counted = {
        scene: counts for pair in pair_checks.values() for scene, counts in pair.pixels.items()
    }
    pixels = np.zeros(len(manifest.classes) + 1, np.int64)
    for scene in grid:
        pixels += counted.get(scene.id, 0)
    labeled_images = {scene.image for scene in scenes if scene.mask is not None}
    return SplitCheck(
        name=split,
        scenes=len(scenes),
        labeled=sum(1 for scene in scenes if scene.mask is not None),
        unlabeled=tuple(
            dict.fromkeys(scene.image for scene in scenes if scene.image not in labeled_images)
        ),
        pixels=dict(zip(manifest.class_names, pixels[:-1].tolist(), strict=True)),
        ignored=int(pixels[-1]),
        left_out=left_out,
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
