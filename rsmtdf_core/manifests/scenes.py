"""From a manifest and a folder to typed scenes; only file names and image headers are read."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.fingerprints import canonical_json, file_sha256, fingerprint
from rsmtdf_core.manifests.files import image_size
from rsmtdf_core.manifests.patterns import match_files
from rsmtdf_core.manifests.schema import Manifest, SplitSpec, WindowSpec
from rsmtdf_core.validation import suggestion

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Window:
    """Part of a raster, px."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Scene:
    """One image of a dataset, or a window of a larger raster.

    Attributes:
        id: the path fields joined by "/", and "@left,top" for windows.
        image: posix path relative to the data root.
        mask: the same; None where the scene has none.
        width: of the scene (the window's), px.
        height: of the scene (the window's), px.
        window: its place in the raster; None where the scene is the whole image.
        sha256: of the image file's bytes and the choice of bands, as far as known (see `with_digests`).
    """

    id: str
    image: str
    mask: str | None
    width: int
    height: int
    window: Window | None = None
    sha256: str = ""


@dataclass(frozen=True)
class Dataset:
    """A manifest with the scenes found for it, by the manifest's splits."""

    manifest: Manifest
    root: Path
    splits: dict[str, tuple[Scene, ...]]


@dataclass(frozen=True, slots=True)
class ScenePair:
    """An image file and its mask file, posix paths relative to the root, not opened yet."""

    id: str
    fields: dict[str, str]
    image: str
    mask: str | None


def find_scenes(manifest: Manifest, root: Path) -> Dataset:
    """Find the scenes of each split, sorted by the image's id, its windows row by row.

    Raises:
        MissingFileError: the root is no folder, or no image matches the manifest's pattern.
        DataError: an image's header cannot be read, two files stand for one scene, a split names a
            value that no scene has, or a scene is in both the training split and another.
    """
    splits = split_pairs(manifest, find_pairs(manifest, root))
    pairs = {pair.id: pair for members in splits.values() for pair in members}
    sizes = dict(
        zip(
            pairs,
            in_threads(
                lambda pair: image_size(root / pair.image, manifest.bands), list(pairs.values())
            ),
            strict=True,
        )
    )
    return Dataset(
        manifest,
        root,
        {
            split: tuple(
                scene
                for pair in members
                for scene in cut_scenes(pair, sizes[pair.id], manifest.window)
            )
            for split, members in splits.items()
        },
    )


def find_pairs(manifest: Manifest, root: Path) -> list[ScenePair]:
    """The image files that match the manifest with their masks, sorted by id.

    Raises:
        MissingFileError: the root is no folder, or no image matches the manifest's pattern.
        DataError: two files stand for one scene.
    """
    fields = manifest.fields
    images = match_files(root, manifest.images, fields)
    if not images:
        raise MissingFileError(
            f"no image matches '{manifest.images}' of the manifest '{manifest.name}'",
            where=root,
            remedy="give the folder that the pattern starts from as the root, or edit the pattern",
        )
    masks = match_files(root, manifest.masks, fields) if manifest.masks is not None else {}
    return [
        ScenePair("/".join(key), dict(zip(fields, key, strict=True)), image, masks.get(key))
        for key, image in images.items()
    ]


def split_pairs(manifest: Manifest, pairs: Sequence[ScenePair]) -> dict[str, list[ScenePair]]:
    """Deal out pairs to the manifest's splits, each sorted by id.

    Raises:
        DataError: a split names a value that no scene has, or a scene is in both the training split
            and another.
    """
    splits: dict[str, list[ScenePair]] = {
        name: _members(name, spec, pairs) for name, spec in manifest.splits.items()
    }
    learnt = {pair.id for pair in splits.get("train", [])}
    for name in splits.keys() - {"train"}:
        if shared := sorted(learnt & {pair.id for pair in splits[name]}):
            raise DataError(
                f"{len(shared)} scenes are in both train and {name}, the first is {shared[0]}",
                where=f"manifest {manifest.name}",
                remedy="give the splits different values in `where`, or shares of one seed that "
                "do not overlap",
            )
    return splits


def _members(split: str, spec: SplitSpec, pairs: Sequence[ScenePair]) -> list[ScenePair]:
    for field, values in spec.where.items():
        present = sorted({pair.fields[field] for pair in pairs})
        for value in values:
            if value not in present:
                raise DataError(
                    f"no scene has {field} '{value}'{suggestion(value, present)}",
                    where=f"splits.{split}.where.{field}; found: {', '.join(present[:20])}",
                    remedy="edit the manifest, or put the missing files below the root",
                )
    chosen = _drawn(
        [
            pair
            for pair in pairs
            if all(pair.fields[field] in values for field, values in spec.where.items())
        ],
        spec.seed,
    )
    low, high = (int(share * len(chosen) + 0.5) for share in spec.share)
    return sorted(chosen[low:high], key=lambda pair: pair.id)


def cut_scenes(pair: ScenePair, size: tuple[int, int], spec: WindowSpec | None) -> Iterator[Scene]:
    """One scene for a pair whose image has `size` (width, height), or its windows row by row."""
    width, height = size
    if spec is None:
        yield Scene(pair.id, pair.image, pair.mask, width, height)
        return
    for top in _starts(height, spec):
        for left in _starts(width, spec):
            window = Window(left, top, min(spec.size, width - left), min(spec.size, height - top))
            yield Scene(
                f"{pair.id}@{left},{top}",
                pair.image,
                pair.mask,
                window.width,
                window.height,
                window,
            )


def _starts(length: int, spec: WindowSpec) -> range:
    """Starts of the windows along one side: the last one reaches or passes the border."""
    more = max(0, -(-(length - spec.size) // spec.stride))
    return range(0, more * spec.stride + 1, spec.stride)


def draw_labeled(
    scenes: Sequence[Scene], share: float, seed: int
) -> tuple[tuple[Scene, ...], tuple[Scene, ...]]:
    """Choose the scenes whose masks may be used.

    Scenes are ordered by the sha256 of (seed, id) and the first ones with a mask are taken, so that
    a smaller share is part of a larger one. The count is rounded down, as in the published lists,
    but is one at least.

    Args:
        scenes: of the training split.
        share: of the scenes that have a mask, above 0, 1 at most.
        seed: of the order.

    Returns:
        labeled and unlabeled scenes, both in the drawn order; scenes without a mask are unlabeled.

    Raises:
        DataError: no scene has a mask.
    """
    assert 0 < share <= 1
    drawn = _drawn(scenes, seed)
    masked = [scene for scene in drawn if scene.mask is not None]
    if not masked:
        raise DataError(
            f"none of {len(scenes)} training scenes has a mask",
            remedy="check the masks pattern with `rsmtdf data check MANIFEST --root ROOT`",
        )
    # The small addend undoes what binary fractions lose: 0.29 * 100 is 28.999...
    labeled = masked[: max(1, int(share * len(masked) + 1e-9))]
    chosen = {scene.id for scene in labeled}
    return tuple(labeled), tuple(scene for scene in drawn if scene.id not in chosen)


def with_digests(dataset: Dataset, scenes: Sequence[Scene]) -> tuple[Scene, ...]:
    """The scenes with the digests of what decides their pixels; each file is read once.

    That is the sha256 of the image file, or, where the manifest chooses bands, the fingerprint of
    [that sha256, the bands].

    Raises:
        MissingFileError: an image is gone.
    """
    bands = dataset.manifest.bands

    def digest(image: str) -> str:
        try:
            of_file = file_sha256(dataset.root / image)
        except FileNotFoundError:
            raise MissingFileError("the image is gone", where=dataset.root / image) from None
        return of_file if bands is None else fingerprint([of_file, bands.model_dump(mode="json")])

    images = list(dict.fromkeys(scene.image for scene in scenes))
    digests = dict(zip(images, in_threads(digest, images), strict=True))
    return tuple(replace(scene, sha256=digests[scene.image]) for scene in scenes)


def in_threads(work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """`map` in threads, results in the order of the items; for work that waits for the disk."""
    with ThreadPoolExecutor() as pool:
        yield from pool.map(work, items)


Drawable = TypeVar("Drawable", Scene, ScenePair)


def _drawn(items: Sequence[Drawable], seed: int) -> list[Drawable]:
    """In the order of sha256(seed, id): the same on every machine and for every listing order."""
    return sorted(items, key=lambda item: hashlib.sha256(canonical_json([seed, item.id])).digest())
