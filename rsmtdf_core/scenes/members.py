"""The scenes of each split, by the lists and rules of the manifest (tests: test_find.py, test_splits.py)."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from rsmtdf_core.errors import DataError
from rsmtdf_core.fingerprints import canonical_json
from rsmtdf_core.scenes.manifest import Manifest, SplitName, SplitSpec
from rsmtdf_core.scenes.scene import Scene, ScenePair, image_id
from rsmtdf_core.validation import suggestion


def split_pairs(manifest: Manifest, pairs: Sequence[ScenePair]) -> dict[SplitName, list[ScenePair]]:
    """Assign pairs to the manifest's splits, each sorted by id.

    A split of single windows gets every pair that may contain one of its windows.

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
    if spec.by == "crop" and manifest.window is not None:
        return matching
    if spec.by == "crop":
        units = {pair.id: pair.id for pair in matching}
    else:
        units = {pair.id: parent_of(manifest, pair.id) for pair in matching}
    chosen = _chosen(set(units.values()), spec)
    return [pair for pair in matching if units[pair.id] in chosen]


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


def choose_scenes(
    manifest: Manifest, split: SplitName, scenes: Sequence[Scene]
) -> tuple[Scene, ...]:
    """Select the scenes of a split among those cut from its pairs, in their order."""
    spec = manifest.splits[split]
    if spec.scenes is not None:
        taken = set(spec.scenes)
    elif spec.by == "crop" and manifest.window is not None:
        taken = _chosen([scene.id for scene in scenes], spec)
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


def _chosen(ids: Iterable[str], spec: SplitSpec) -> set[str]:
    """Return the split's share of the ids."""
    drawn = sorted(ids, key=lambda name: rank(spec.seed, name))
    low, high = (int(share * len(drawn) + 0.5) for share in spec.share)
    return set(drawn[low:high])


def rank(seed: int, name: str) -> bytes:
    """Return a sort key for an id in a seeded random order, independent of the machine and of other ids."""
    return hashlib.sha256(canonical_json([seed, name])).digest()
