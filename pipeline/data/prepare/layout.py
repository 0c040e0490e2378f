"""Find a benchmark's files below a folder, regardless of how its archives were unpacked."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.data.prepare.benchmarks import Benchmark, FileName
from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.patterns import pattern_fields

_NOT_IN_PATTERNS = "{}*?\\"


@dataclass(frozen=True, slots=True)
class BenchmarkFolder:
    """The location of images and masks.

    Attributes:
        root: the data root.
        images: path pattern of the images below the root, for a manifest.
        masks: path pattern of the masks below the root.
        cropped: whether the images are published crops rather than whole tiles.
    """

    root: Path
    images: str
    masks: str
    cropped: bool

    @property
    def tile_fields(self) -> tuple[str, ...]:
        """The fields that identify a tile, of tiles and of their crops."""
        return tuple(field for field in pattern_fields(self.images) if field != "crop")


def find_layout(
    benchmark: Benchmark, root: Path, skip: Sequence[Path] = ()
) -> BenchmarkFolder | None:
    """The layout with the most pairs; whole tiles go before crops; None where there is neither.

    Args:
        benchmark: the benchmark to find.
        root: the folder to search, with all of its subfolders.
        skip: folders to skip.

    Raises:
        DataError: If the name of a folder with files cannot be part of a path pattern.
    """
    files = list(_files(root, {path.resolve() for path in skip}))
    if best := _best(root, files, benchmark.image, benchmark.masks):
        return BenchmarkFolder(root, *best, cropped=False)
    for image, mask in zip(benchmark.crop_image.forms, benchmark.crop_mask.forms, strict=True):
        if best := _best(root, files, image, (mask,)):
            return BenchmarkFolder(root, *best, cropped=True)
    return None


def _best(
    root: Path, files: Sequence[str], image: FileName, masks: Sequence[FileName]
) -> tuple[str, str] | None:
    """Return the patterns of images and masks with the most pairs, then the most images, then the first by name."""
    images = _by_prefix(root, files, image)
    ranked = [
        (-len(keys & others), -len(keys), prefix + image.pattern, other + mask.pattern)
        for mask in masks
        for other, others in _by_prefix(root, files, mask).items()
        for prefix, keys in images.items()
    ]
    return min(ranked)[2:] if ranked else None


def _by_prefix(root: Path, files: Sequence[str], name: FileName) -> dict[str, set[tuple[str, ...]]]:
    """Return the values of the name's fields in each file, by the folder above the name."""
    by_prefix: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for path in files:
        if match := name.matched(path):
            prefix, fields = match
            by_prefix[prefix].add(tuple(fields.values()))
    for prefix in by_prefix:
        if any(sign in prefix for sign in _NOT_IN_PATTERNS):
            raise DataError(
                f"a folder's name has one of {' '.join(_NOT_IN_PATTERNS)}, which path patterns cannot contain",
                where=root / prefix,
                remedy="rename the folder",
            )
    return by_prefix


def _files(root: Path, skip: set[Path]) -> Iterator[str]:
    for folder, names, files in os.walk(root):
        here = Path(folder)
        names[:] = [
            name
            for name in sorted(names)
            if not name.startswith(".") and (here / name).resolve() not in skip
        ]
        yield from ((here / name).relative_to(root).as_posix() for name in sorted(files))
