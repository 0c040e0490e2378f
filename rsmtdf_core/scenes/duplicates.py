"""The same image in two splits, whatever its files are called: scores on it would be of what was learnt by heart."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rsmtdf_core.fingerprints import file_sha256


@dataclass(frozen=True, slots=True)
class Content:
    """What an image file holds.

    Attributes:
        file: posix path relative to the data root.
        file_sha256: of its bytes.
        pixels_sha256: of its decoded pixels and their shape: the same for a PNG and a TIFF of one image.
    """

    file: str
    file_sha256: str
    pixels_sha256: str


class ContentHash:
    """Takes in an image strip by strip, from the top downward, so that no raster need be in memory.

    Args:
        size: of the whole image, (width, height).
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._pixels = hashlib.sha256(repr(size).encode())

    def add(self, strip: npt.NDArray[np.uint8]) -> None:
        """The next rows, uint8 [rows, W, 3]."""
        self._pixels.update(np.ascontiguousarray(strip).data)

    def of(self, root: Path, file: str) -> Content:
        """The content of the file whose pixels were taken in."""
        return Content(file, file_sha256(root / file), self._pixels.hexdigest())


def find_duplicates(splits: Mapping[str, Sequence[Content]]) -> Iterator[tuple[str, str]]:
    """Each file whose pixels are in an earlier split too, and a sentence that says where.

    A file that is in two splits under one name is no matter of this.
    """
    first: dict[str, tuple[str, Content]] = {}
    for split, members in splits.items():
        for one in members:
            known_split, known = first.setdefault(one.pixels_sha256, (split, one))
            if known_split == split or known.file == one.file:
                continue
            same = "bytes" if known.file_sha256 == one.file_sha256 else "pixels, in another file,"
            yield (
                one.file,
                f"in split {split}, and the same {same} as {known.file} in {known_split}",
            )


def find_copies(contents: Iterable[Content]) -> Iterator[tuple[str, ...]]:
    """The files of each image that is there more than once, whatever its files are called."""
    groups: dict[str, dict[str, None]] = {}
    for content in contents:
        groups.setdefault(content.pixels_sha256, {})[content.file] = None
    return (tuple(files) for files in groups.values() if len(files) > 1)
