"""The scenes of each split, by the lists and rules of the manifest (tests: test_splits.py)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from rsmtdf_core.arrays import Rows
from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.blocks import CutImage, Placement, place_scenes
from rsmtdf_core.scenes.draws import Draw
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.random_windows import WindowedImage, draw_windows
from rsmtdf_core.scenes.scene import Scene, ScenePair, image_id
from rsmtdf_core.scenes.split_settings import SplitName, SplitSpec
from rsmtdf_core.validation import suggestion


def split_pairs(manifest: Manifest, pairs: Sequence[ScenePair]) -> dict[SplitName, list[ScenePair]]:
    """Assign pairs to the manifest's splits, each sorted by id.

    A split that draws windows or blocks gets every pair that may contain one of its scenes.

    Raises:
        DataError: If a split names a value that no scene has, or lists a scene of a missing image.
    """
    return {name: _members(manifest, name, pairs) for name in manifest.splits}


def _members(manifest: Manifest, split: SplitName, pairs: Sequence[ScenePair]) -> list[ScenePair]:
    spec = manifest.splits[split]
    if spec.scenes is not None:
        wanted = dict.fromkeys(image_id(scene) for scene in spec.scenes)
        if absent := wanted.keys() - {pair.id for pair in pairs}:
            raise listed_but_missing(
                manifest, split, [scene for scene in spec.scenes if image_id(scene) in absent]
            )
        return [pair for pair in pairs if pair.id in wanted]
    require_values(spec.where, [pair.fields for pair in pairs], f"splits.{split}.where")
    matching = [
        pair
        for pair in pairs
        if all(pair.fields[field] in values for field, values in spec.where.items())
    ]
    scored = _scored(spec, split, matching)
    if _draws_scenes(manifest, spec):
        return scored
    if spec.by == "crop":
        units = {pair.id: pair.id for pair in matching}
    else:
        units = {pair.id: parent_of(manifest, pair.id) for pair in matching}
    draw = Draw(manifest, split)
    for pair in matching:
        draw.add(units[pair.id], masked=pair.mask is not None)
    chosen = draw.chosen()
    return [pair for pair in scored if units[pair.id] in chosen]


T = TypeVar("T", Scene, ScenePair)


def _scored(spec: SplitSpec, split: SplitName, members: list[T]) -> list[T]:
    """Return the members of a split without those that have no mask, if only masks make them useful."""
    if split == "train" or (spec.folds is None and spec.by != "block"):
        return members
    masked = [member for member in members if member.mask is not None]
    return masked or members


def _draws_scenes(manifest: Manifest, spec: SplitSpec) -> bool:
    """Whether a split draws single scenes or blocks, so that images may have scenes in several splits."""
    return spec.by == "block" or (spec.by == "crop" and manifest.window is not None)


def require_values(
    where: Mapping[str, Sequence[str]],
    fields: Sequence[Mapping[str, str]],
    key: str,
    noun: str = "scene",
) -> None:
    """Refuse a condition with a value that no scene has.

    Args:
        where: the allowed values of each field.
        fields: the values of each scene.
        key: the key of the condition, for the message.
        noun: the kind of scenes, for the message.

    Raises:
        DataError: If there is such a value.
    """
    for field, values in where.items():
        present = sorted({scene[field] for scene in fields})
        for value in values:
            if value not in present:
                raise DataError(
                    f"no {noun} has {field} '{value}'{suggestion(value, present)}",
                    where=f"{key}.{field}; found: {', '.join(present[:20])}",
                    remedy="correct the value, or put the missing files below the root",
                )


class OpenImage(WindowedImage, Protocol):
    """An image of the dataset whose header was read, with its scenes."""

    @property
    def scenes(self) -> Sequence[Scene]:
        """The image as a scene, or its windows."""
        ...


class SplitScenes(NamedTuple):
    """The scenes of each split.

    Attributes:
        splits: the scenes, in the order of their images.
        left_out: for splits by block, the number of scenes that are too near to a block of another split.
        grid: the scenes before training windows were drawn at random positions.
    """

    splits: dict[SplitName, tuple[Scene, ...]]
    left_out: dict[SplitName, int]
    grid: dict[SplitName, tuple[Scene, ...]]


def split_scenes(
    manifest: Manifest,
    members: Mapping[SplitName, Sequence[ScenePair]],
    images: Mapping[str, OpenImage],
) -> SplitScenes:
    """Select the scenes of each split among those cut from its pairs, or draw training windows among them.

    Args:
        manifest: the manifest.
        members: the pairs of each split, from `split_pairs`.
        images: the opened image of each pair, by the pair's id.

    Raises:
        ConfigError, DataError: If a split by block has no scene, a scene has no place on the grid of blocks, or there
            is no position for a random window.
    """
    grid, left_out = _split_grid(manifest, members, images)
    spec, splits = manifest.window, dict(grid)
    if spec is not None and spec.random is not None and splits.get("train"):
        scored = [scene for split, scenes in grid.items() if split != "train" for scene in scenes]
        splits["train"] = draw_windows(spec, spec.random, grid["train"], scored, images)
    return SplitScenes(splits, left_out, grid)


def _split_grid(
    manifest: Manifest,
    members: Mapping[SplitName, Sequence[ScenePair]],
    images: Mapping[str, OpenImage],
) -> tuple[dict[SplitName, tuple[Scene, ...]], dict[SplitName, int]]:
    """Return the scenes of each split among those cut from its pairs, and the numbers that are left out."""
    cut = {
        split: [scene for pair in pairs for scene in images[pair.id].scenes]
        for split, pairs in members.items()
    }
    blocks = {split: cut[split] for split in cut if manifest.splits[split].by == "block"}
    splits = {split: _choose(manifest, split, cut[split]) for split in cut if split not in blocks}
    if manifest.blocks is None or not any(blocks.values()):
        return {**splits, **dict.fromkeys(blocks, ())}, {}
    pairs = {pair.id for split in blocks for pair in members[split]}
    placement = place_scenes(
        manifest.blocks,
        [
            CutImage(pair, image.frame, image.scenes)
            for pair, image in images.items()
            if pair in pairs and image.frame is not None and image.scenes
        ],
    )
    drawn = {
        split: _drawn_rows(manifest, split, scenes, placement) for split, scenes in blocks.items()
    }
    left_out = {}
    for split, kept in placement.apart(drawn).items():
        chosen = set(kept.tolist())
        splits[split] = tuple(
            scene for scene in blocks[split] if placement.row_of[scene.id] in chosen
        )
        left_out[split] = len(drawn[split]) - len(kept)
        _require_scenes(manifest, split, len(drawn[split]), len(kept))
    return {split: splits[split] for split in members}, left_out


def _drawn_rows(
    manifest: Manifest, split: SplitName, scenes: Sequence[Scene], placement: Placement
) -> Rows:
    """Return the rows of the scenes in the split's blocks."""
    draw = Draw(manifest, split)
    block_of = {
        scene.id: placement.names[placement.home[placement.row_of[scene.id]]] for scene in scenes
    }
    for scene in scenes:
        draw.add(block_of[scene.id], masked=scene.mask is not None)
    chosen = draw.chosen()
    inside = [scene for scene in scenes if block_of[scene.id] in chosen]
    kept = _scored(manifest.splits[split], split, inside)
    return np.array([placement.row_of[scene.id] for scene in kept], np.int64)


def _require_scenes(manifest: Manifest, split: SplitName, drawn: int, kept: int) -> None:
    assert manifest.blocks is not None
    if kept:
        return
    raise DataError(
        f"every scene of split {split} is too near to a block of another split ({drawn:,} scenes, "
        f"{manifest.blocks.describe()})"
        if drawn
        else f"the scenes are in too few blocks: none is drawn for split {split} ({manifest.blocks.describe()})",
        where=f"manifest {manifest.name}",
        remedy="lower blocks.buffer, or set another size of blocks, several times that of a scene",
    )


def _choose(manifest: Manifest, split: SplitName, scenes: list[Scene]) -> tuple[Scene, ...]:
    """Select the scenes of a split that lists or draws single scenes, or return all of them, in their order."""
    spec = manifest.splits[split]
    if spec.scenes is not None:
        taken = set(spec.scenes)
    elif _draws_scenes(manifest, spec):
        draw = Draw(manifest, split)
        for scene in scenes:
            draw.add(scene.id, masked=scene.mask is not None)
        taken = draw.chosen()
        scenes = _scored(spec, split, scenes)
    else:
        return tuple(scenes)
    return tuple(scene for scene in scenes if scene.id in taken)


def missing_scenes(manifest: Manifest, split: SplitName, scenes: Sequence[Scene]) -> list[str]:
    """Return the ids that the split lists but `scenes` lack: windows outside their image."""
    present = {scene.id for scene in scenes}
    return [scene for scene in manifest.splits[split].scenes or () if scene not in present]


def refuse_shared(manifest: Manifest, splits: Mapping[SplitName, Sequence[Scene]]) -> None:
    """Refuse scenes that are used both for training and for scores.

    Raises:
        DataError: If a scene is in the training split and in another.
    """
    training = {scene.id for scene in splits.get("train", ())}
    for name, scenes in splits.items():
        shared = sorted(training & {scene.id for scene in scenes})
        if name != "train" and shared:
            raise DataError(
                f"{len(shared)} scenes are in both train and {name}, the first is {shared[0]}",
                where=f"manifest {manifest.name}",
                remedy="give the splits different values in `where`, other lists, or shares of one seed "
                "that do not overlap",
            )


def parent_of(manifest: Manifest, scene: str) -> str:
    """Return the id of the parent of a scene or pair: its tile, or else its image."""
    image = image_id(scene)
    if not manifest.parent:
        return image
    values = dict(zip(manifest.fields, image.split("/"), strict=True))
    return "/".join(values[field] for field in manifest.parent)


def listed_but_missing(manifest: Manifest, split: SplitName, missing: Sequence[str]) -> DataError:
    """Return an error that names the first of the scenes that a split lists and that are missing."""
    return DataError(
        f"{len(missing)} scenes that splits.{split} lists are missing, the first is {missing[0]}",
        where=f"manifest {manifest.name}",
        remedy="put the missing files below the root, or remove the scenes from the list",
    )
