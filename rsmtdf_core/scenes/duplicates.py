"""Find images that occur in two splits under any name, because scores on them would reward memorization."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rsmtdf_core.fingerprints import file_sha256


@dataclass(frozen=True, slots=True)
class Content:
    """Digests of an image.

    Attributes:
        file: posix path of its (first) file relative to the data root.
        file_sha256: digests of the bytes of its files.
        pixels_sha256: digest of its decoded pixels and their shape: equal for a PNG and a TIFF of one image.
    """

    file: str
    file_sha256: str
    pixels_sha256: str


class ContentHash:
    """Hashes an image strip by strip, from the top downward, so that no raster must fit in memory.

    Args:
        size: width and height of the whole image, px.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._pixels = hashlib.sha256(repr(size).encode())

    def add(self, strip: npt.NDArray[np.uint8]) -> None:
        """Add the next rows, uint8 [rows, W, 3]."""
        self._pixels.update(np.ascontiguousarray(strip).data)

    def of(self, root: Path, files: Sequence[str]) -> Content:
        """Return the digests of the files whose pixels were added."""
        digests = " ".join(file_sha256(root / file) for file in files)
        return Content(files[0], digests, self._pixels.hexdigest())


def find_duplicates(splits: Mapping[str, Sequence[Content]]) -> Iterator[tuple[str, str]]:
    """Yield each file whose pixels are also in an earlier split, and a sentence that names the other file.

    A file that is in two splits under the same name is not reported here.
    """
    first: dict[str, tuple[str, Content]] = {}
    for split, members in splits.items():
        for content in members:
            earlier_split, earlier = first.setdefault(content.pixels_sha256, (split, content))
            if earlier_split == split or earlier.file == content.file:
                continue
            same = (
                "bytes"
                if earlier.file_sha256 == content.file_sha256
                else "pixels, in another file,"
            )
            yield (
                content.file,
                f"in split {split}, and the same {same} as {earlier.file} in {earlier_split}",
            )


def find_copies(contents: Iterable[Content]) -> Iterator[tuple[str, ...]]:
    """Yield the files of each image that occurs more than once, under any name."""
    groups: dict[str, dict[str, None]] = {}
    for content in contents:
        groups.setdefault(content.pixels_sha256, {})[content.file] = None
    return (tuple(files) for files in groups.values() if len(files) > 1)
