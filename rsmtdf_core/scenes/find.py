"""Find the scenes of a manifest in a folder, reading only file names and image headers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.fingerprints import file_sha256, fingerprint
from rsmtdf_core.scenes.image_labels import (
    ImageLabels,
    find_labels,
    label_notes,
    listed_images,
    unplaced,
)
from rsmtdf_core.scenes.images.formats import VRT, identify
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.images.vrt import vrt_sources
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.members import (
    listed_but_missing,
    missing_scenes,
    refuse_shared,
    split_pairs,
    split_scenes,
)
from rsmtdf_core.scenes.patterns import match_stacks
from rsmtdf_core.scenes.rasters import open_raster
from rsmtdf_core.scenes.scene import Scene, ScenePair, cut_scenes, region
from rsmtdf_core.scenes.split_settings import SplitName
from rsmtdf_core.words import counted

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Dataset:
    """A manifest with its scenes on disk.

    Attributes:
        manifest: the manifest of the dataset.
        root: the data root.
        splits: the scenes of each split.
        turned: images that are shown turned, by their orientation tag.
        notes: sentences on labels that are not used as they are in their files.
        left_out: for splits by block, the number of scenes that are too near to a block of another split.
    """

    manifest: Manifest
    root: Path
    splits: dict[SplitName, tuple[Scene, ...]]
    turned: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: Mapping[SplitName, int] = field(default_factory=dict)

    @property
    def cautions(self) -> tuple[str, ...]:
        """Sentences on the reading of the files that a user should know."""
        return (*orientation_note(self.turned), *self.notes)


def find_scenes(manifest: Manifest, root: Path) -> Dataset:
    """Find the scenes of each split, sorted by image id, with windows row by row.

    Raises:
        MissingFileError: If the root is not a folder, or no image matches the manifest's pattern.
        DataError: If an image's header or labels drawn as shapes cannot be read, shapes meet no image, two files belong
            to one scene, a split names a value that no scene has or lists a missing scene, or a scene is in the
            training split and in another.
    """
    every = find_pairs(manifest, root)
    members = split_pairs(manifest, every)
    pairs = {pair.id: pair for split_members in members.values() for pair in split_members}
    opened = in_threads(lambda pair: open_scenes(manifest, root, pair), list(pairs.values()))
    images = dict(zip(pairs, opened, strict=True))
    labels = [image.labels for image in images.values() if image.labels is not None]
    for path, error in unplaced(manifest, labels):
        raise DataError(error.what, where=root / path, remedy=error.remedy)
    listed = listed_images(manifest, root, [(pair.image, pair.mask) for pair in every])
    for problem in listed.ambiguous:
        raise DataError(
            problem.what,
            where=root / problem.file,
            remedy="give the images different names, or choose some of them with `images` in the manifest",
        )
    splits, left_out, grid = split_scenes(manifest, members, images)
    for split, scenes in grid.items():
        if missing := missing_scenes(manifest, split, scenes):
            raise listed_but_missing(manifest, split, missing)
    refuse_shared(manifest, grid)
    turned = tuple(pair.image for pair in pairs.values() if images[pair.id].turned)
    notes = (*label_notes(labels), *listed.notes)
    return Dataset(manifest, root, splits, turned, notes, left_out)


class OpenedImage(NamedTuple):
    """The scenes of an image, its frame, whether it is shown turned, and its labels if they are shapes."""

    scenes: list[Scene]
    frame: Frame
    turned: bool
    labels: ImageLabels | None


def open_scenes(manifest: Manifest, root: Path, pair: ScenePair) -> OpenedImage:
    """Read the header of an image, and its labels if they are shapes.

    Raises:
        MissingFileError, DataError: If a file is missing or cannot be read, or the labels do not fit.
    """
    with open_raster(pair.source(root), manifest.bands) as raster:
        scenes = list(cut_scenes(pair, raster.image.size, manifest.window))
        labels = (
            None
            if pair.mask is None
            else find_labels(manifest, root, pair.mask, pair.image, raster.image)
        )
        return OpenedImage(
            labeled_scenes(scenes, labels), raster.frame, raster.image.turned, labels
        )


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


def with_digests(dataset: Dataset, scenes: Sequence[Scene]) -> tuple[Scene, ...]:
    """Return the scenes with digests of everything that determines their pixels; each file is read once.

    The digest is the sha256 of the image file (for a VRT the fingerprint of its sha256 and those of its sources; for
    stacked files the fingerprint of their digests). If the manifest chooses bands, it is the fingerprint of [that
    digest, the bands].

    Raises:
        MissingFileError: If an image is missing.
    """
    bands = dataset.manifest.bands

    def digest(files: tuple[str, ...]) -> str:
        of_files = [_file_digest(dataset.root / file) for file in files]
        of_image = of_files[0] if len(of_files) == 1 else fingerprint(of_files)
        return of_image if bands is None else fingerprint([of_image, bands.model_dump(mode="json")])

    images = list(dict.fromkeys(scene.files for scene in scenes))
    digests = dict(zip(images, in_threads(digest, images), strict=True))
    return tuple(replace(scene, sha256=digests[scene.files]) for scene in scenes)


def _file_digest(path: Path) -> str:
    try:
        of_file = file_sha256(path)
        if identify(path) is VRT:
            of_file = fingerprint([of_file, *map(file_sha256, vrt_sources(path))])
    except FileNotFoundError:
        raise MissingFileError("the image is missing", where=path) from None
    return of_file


def in_threads(work: Callable[[T], R], items: Sequence[T], most: int | None = None) -> Iterator[R]:
    """Map a function over items in threads, for work that waits for the disk; results keep the order of the items.

    Args:
        work: the function.
        items: the items.
        most: largest number of threads, to limit memory; by default slightly more than cores.
    """
    with ThreadPoolExecutor(most) as pool:
        yield from pool.map(work, items)
