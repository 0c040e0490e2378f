"""Finds a benchmark's files below a folder, however its archives were unpacked."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.prepare.benchmarks import Benchmark, FileName


@dataclass(frozen=True, slots=True)
class Layout:
    """Where images and masks are.

    Attributes:
        root: the data root.
        images: path pattern of the images below the root, for a manifest.
        masks: the same for the masks.
        cropped: whether the images are published crops rather than whole tiles.
    """

    root: Path
    images: str
    masks: str
    cropped: bool


def find_layout(benchmark: Benchmark, root: Path, skip: Sequence[Path] = ()) -> Layout | None:
    """The layout with the most pairs; whole tiles go before crops; None where there is neither.

    Args:
        benchmark: what is looked for.
        root: searched with all of its folders.
        skip: folders that are not looked into.
    """
    files = list(_files(root, {path.resolve() for path in skip}))
    for cropped, image, masks in (
        (False, benchmark.image, benchmark.masks),
        (True, benchmark.crop_image, (benchmark.crop_mask,)),
        (True, _inside(benchmark.crop_image), (_inside(benchmark.crop_mask),)),
    ):
        if best := _best(files, image, masks):
            return Layout(root, *best, cropped=cropped)
    return None


def _inside(name: FileName) -> FileName:
    """The name without its first folder: users name that folder itself too."""
    return FileName(name.pattern.rpartition("/")[2])


def _best(
    files: Sequence[str], image: FileName, masks: Sequence[FileName]
) -> tuple[str, str] | None:
    """The patterns of the images and masks with the most pairs, then images, then the first by name."""
    images = _by_prefix(files, image)
    ranked = [
        (-len(keys & others), -len(keys), prefix + image.pattern, other + mask.pattern)
        for mask in masks
        for other, others in _by_prefix(files, mask).items()
        for prefix, keys in images.items()
    ]
    return min(ranked)[2:] if ranked else None


def _by_prefix(files: Sequence[str], name: FileName) -> dict[str, set[tuple[str, ...]]]:
    found: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for path in files:
        if match := name.matched(path):
            found[match[0]].add(tuple(match[1].values()))
    return found


def _files(root: Path, skip: set[Path]) -> Iterator[str]:
    for folder, names, files in os.walk(root):
        here = Path(folder)
        names[:] = [
            name
            for name in sorted(names)
            if not name.startswith(".") and (here / name).resolve() not in skip
        ]
        yield from ((here / name).relative_to(root).as_posix() for name in sorted(files))
