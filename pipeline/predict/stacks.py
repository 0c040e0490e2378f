"""Finds scenes of one file for each band, by the patterns of the manifest (tests: test_scenes_of_files.py)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rsmtdf_core.errors import MissingFileError
from rsmtdf_core.scenes.images.source import Stack
from rsmtdf_core.scenes.patterns import match_below, without_common_folders


def find_stacks(
    folder: Path, files: Sequence[Path], patterns: Sequence[str]
) -> Iterator[tuple[Stack, Path]]:
    """Yield each scene, and its path without a suffix relative to the folder, sorted.

    A scene may be at any depth: patterns count without the folders with which all of them begin. Its name is that of
    its fields, or else of the folder with its files.

    Args:
        folder: the folder.
        files: the files below it.
        patterns: the path patterns of the files of a scene.

    Raises:
        MissingFileError: If a scene lacks a file.
        DataError: If two files belong to one scene and band.
    """
    tails = without_common_folders(patterns)
    paths = [path.relative_to(folder).as_posix() for path in files]
    found = [match_below(paths, tail) for tail in tails]
    for key in sorted(found[0]):
        for tail, of_band in zip(tails, found, strict=True):
            if key not in of_band:
                raise MissingFileError(
                    f"the file of '{tail}' is missing for {found[0][key]}",
                    where=folder,
                    remedy="restore the file, or name the folders of complete scenes",
                )
        parent, values = key
        name = Path(parent, "_".join(values)) if values else Path(parent)
        stack = Stack(tuple(folder / of_band[key] for of_band in found))
        yield stack, name if name.name else Path(folder.resolve().name)


def is_band(path: Path, patterns: Sequence[str]) -> bool:
    """Whether a file is one of those of a scene."""
    return any(match_below([path.name], tail.rpartition("/")[2]) for tail in patterns)
