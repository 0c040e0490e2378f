"""Where an image is read from: one file, or several that are stacked to its bands."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Stack:
    """Files of one area whose bands, one file after the other, are the bands of one image.

    Attributes:
        files: the files; the first has the image's grid, see `stack`.
    """

    files: tuple[Path, ...]

    def __str__(self) -> str:
        return f"{self.files[0]} and {len(self.files) - 1} more"


Source = Path | Stack


def source_files(source: Source) -> tuple[Path, ...]:
    """Return the files of an image, in the order of its bands."""
    return source.files if isinstance(source, Stack) else (source,)


def source_of(root: Path, files: Sequence[str]) -> Source:
    """Return where an image is read from, given the posix paths of its files relative to `root`."""
    first, *further = (root / file for file in files)
    return Stack((first, *further)) if further else first
