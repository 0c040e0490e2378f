"""Find the scenes of a manifest in a folder, reading only file names and image headers."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.fingerprints import canonical_json
from rsmtdf_core.scenes.image_labels import (
    NOWHERE,
    NOWHERE_REMEDY,
    ImageLabels,
    find_labels,
    label_notes,
    unplaced,
)
from rsmtdf_core.scenes.images.orientation import Region
from rsmtdf_core.scenes.images.source import Source, Stack
from rsmtdf_core.scenes.manifest import Manifest, SplitName, SplitSpec, WindowSpec
from rsmtdf_core.scenes.patterns import match_stacks
from rsmtdf_core.scenes.rasters import open_raster
from rsmtdf_core.validation import suggestion
from rsmtdf_core.words import counted

T = TypeVar("T")
R = TypeVar("R")

_POSITION = re.compile(r"@\d+,\d+$")


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a raster, px."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Scene:
    """One image of a dataset, or a window of a larger raster.

    Attributes:
        id: the path fields joined by "/", and "@left,top" for windows.
        image: posix path of the image relative to the data root; of its first file, if several are stacked.
        mask: posix path of the mask relative to the data root; None without a mask.
        width: width of the scene (of its window), px.
        height: height of the scene (of its window), px.
        window: its window in the raster; None if the scene is the whole image.
        sha256: digest of the image's files and the choice of bands, see `digests`; empty until computed.
        stacked: posix paths of the further files whose bands follow, if several are stacked.
    """

    id: str
    image: str
    mask: str | None
    width: int
    height: int
    window: Window | None = None
    sha256: str = ""
    stacked: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """Posix paths of the image's files relative to the data root."""
        return (self.image, *self.stacked)

    def source(self, root: Path) -> Source:
        """Where the image is read from."""
        return source_of(root, self.files)


@dataclass(frozen=True)
class Dataset:
    """A manifest with its scenes on disk.

    Attributes:
        manifest: the manifest of the dataset.
        root: the data root.
        splits: the scenes of each split.
        turned: images that are shown turned, by their orientation tag.
        notes: sentences on labels that are not used as they are in their files.
    """

    manifest: Manifest
    root: Path
    splits: dict[SplitName, tuple[Scene, ...]]
    turned: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def cautions(self) -> tuple[str, ...]:
        """Sentences on the reading of the files that a user should know."""
        return (*orientation_note(self.turned), *self.notes)


@dataclass(frozen=True, slots=True)
class ScenePair:
    """An image and its mask file, posix paths relative to the root, not opened yet.

    Attributes:
        id: the path fields joined by "/".
        fields: the values of the path fields.
        image: the image's file, or the first of its files.
        mask: the mask; None without one.
        stacked: the image's further files, if several are stacked.
    """

    id: str
    fields: dict[str, str]
    image: str
    mask: str | None
    stacked: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """The image's files."""
        return (self.image, *self.stacked)

    def source(self, root: Path) -> Source:
        """Where the image is read from."""
        return source_of(root, self.files)


def source_of(root: Path, files: Sequence[str]) -> Source:
    """Return where an image is read from, given the posix paths of its files relative to `root`."""
    first, *further = (root / file for file in files)
    return Stack((first, *further)) if further else first


def find_scenes(manifest: Manifest, root: Path) -> Dataset:
    """Find the scenes of each split, sorted by image id, with windows row by row.

    Raises:
        MissingFileError: If the root is not a folder, or no image matches the manifest's pattern.
        DataError: If an image's header or labels drawn as shapes cannot be read, shapes meet no image, two files belong
            to one scene, a split names a value that no scene has or lists a missing scene, or a scene is in the
            training split and in another.
    """
    members = split_pairs(manifest, find_pairs(manifest, root))
    pairs = {pair.id: pair for split_members in members.values() for pair in split_members}
    opened = in_threads(lambda pair: open_scenes(manifest, root, pair), list(pairs.values()))
    images = dict(zip(pairs, opened, strict=True))
    labels = [image.labels for image in images.values() if image.labels is not None]
    for mask in unplaced(labels):
        raise DataError(NOWHERE, where=root / mask, remedy=NOWHERE_REMEDY)
    splits = {}
    for split, split_members in members.items():
        cut = [scene for pair in split_members for scene in images[pair.id].scenes]
        splits[split] = choose_scenes(manifest, split, cut)
        if missing := missing_scenes(manifest, split, splits[split]):
            raise _listed_but_missing(manifest, split, missing)
    refuse_shared(manifest, splits)
    turned = tuple(pair.image for pair in pairs.values() if images[pair.id].turned)
    return Dataset(manifest, root, splits, turned, label_notes(labels))


class OpenedImage(NamedTuple):
    """The scenes of an image, whether it is shown turned, and its labels if they are shapes."""

    scenes: list[Scene]
    turned: bool
    labels: ImageLabels | None


def open_scenes(manifest: Manifest, root: Path, pair: ScenePair) -> OpenedImage:
    """Read the header of an image, and its labels if they are shapes.

    Raises:
        MissingFileError, DataError: If a file is missing or cannot be read, or the labels do not fit.
    """
    with open_raster(pair.source(root), manifest.bands) as raster:
        scenes = list(cut_scenes(pair, raster.image.size, manifest.window))
        labels = None if pair.mask is None else find_labels(manifest, root, pair.mask, raster.image)
        return OpenedImage(labeled_scenes(scenes, labels), raster.image.turned, labels)


def labeled_scenes(scenes: Sequence[Scene], labels: ImageLabels | None) -> list[Scene]:
    """Return the scenes of an image, without a mask if none of their pixels has a label.

    Args:
        scenes: the scenes.
        labels: the image's labels, if they are shapes; None leaves the scenes as they are.
    """
    if labels is None:
        return list(scenes)
    return [
        scene if labels.mask.labeled(region(scene)) else replace(scene, mask=None)
        for scene in scenes
    ]


def region(scene: Scene) -> Region:
    """Return top, left, height and width of a scene in its image, px."""
    left, top = (0, 0) if scene.window is None else (scene.window.left, scene.window.top)
    return top, left, scene.height, scene.width


def orientation_note(turned: Sequence[str]) -> tuple[str, ...]:
    """Return a sentence on images that are shown turned; empty without such images."""
    if not turned:
        return ()
    images = counted(len(turned), "image")
    note = f"{images} turned by the EXIF orientation, such as {turned[0]}"
    return (f"{note}: masks must fit the picture that viewers show",)


def find_pairs(manifest: Manifest, root: Path) -> list[ScenePair]:
    """Return the image files that match the manifest, with their masks, sorted by id.

    Raises:
        MissingFileError: If the root is not a folder, or no image matches the manifest's pattern.
        DataError: If two files belong to one scene.
    """
    fields = manifest.fields
    images, masks = match_stacks(root, manifest.image_patterns, manifest.masks, fields)
    if not images:
        raise MissingFileError(
            f"no image matches '{manifest.image_patterns[0]}' of the manifest '{manifest.name}'",
            where=root,
            remedy="name the folder that the pattern is relative to as the root, or edit the pattern",
        )
    values = {key: dict(zip(fields, key, strict=True)) for key in images}
    return [
        ScenePair(
            "/".join(key),
            values[key],
            image,
            masks.get(tuple(values[key][field] for field in manifest.mask_fields)),
            tuple(stacked),
        )
        for key, (image, *stacked) in images.items()
    ]


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
            raise _listed_but_missing(
                manifest, split, [scene for scene in spec.scenes if image_id(scene) in absent]
            )
        return [pair for pair in pairs if pair.id in wanted]
    for field, values in spec.where.items():
        present = sorted({pair.fields[field] for pair in pairs})
        for value in values:
            if value not in present:
                raise DataError(
                    f"no scene has {field} '{value}'{suggestion(value, present)}",
                    where=f"splits.{split}.where.{field}; found: {', '.join(present[:20])}",
                    remedy="edit the manifest, or put the missing files below the root",
                )
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


def image_id(scene: str) -> str:
    """Return the id without the position of a window; the name of an image may also have an @."""
    return _POSITION.sub("", scene)


def _listed_but_missing(manifest: Manifest, split: SplitName, missing: Sequence[str]) -> DataError:
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


def cut_scenes(pair: ScenePair, size: tuple[int, int], spec: WindowSpec | None) -> Iterator[Scene]:
    """Yield the scene of a pair whose image has `size` (width, height), or its windows row by row."""
    width, height = size
    if spec is None:
        yield Scene(pair.id, pair.image, pair.mask, width, height, stacked=pair.stacked)
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
                stacked=pair.stacked,
            )


def _starts(length: int, spec: WindowSpec) -> range:
    """Starts of the windows along one side; the last window reaches or passes the border."""
    more = max(0, -(-(length - spec.size) // spec.stride))
    return range(0, more * spec.stride + 1, spec.stride)


def in_threads(work: Callable[[T], R], items: Sequence[T], most: int | None = None) -> Iterator[R]:
    """Map a function over items in threads, for work that waits for the disk; results keep the order of the items.

    Args:
        work: the function.
        items: the items.
        most: largest number of threads, to limit memory; by default slightly more than cores.
    """
    with ThreadPoolExecutor(most) as pool:
        yield from pool.map(work, items)
