"""EXIF orientation: the way from the stored rows and columns of an image to the picture in viewers.

Cameras store pixels as the sensor reads them and record the turn in a tag (1 to 8, EXIF 2.32, tag 274; TIFF 6.0 has the
same tag). Images are read as viewers show them, so that they fit masks drawn in a viewer.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Region = tuple[int, int, int, int]
"""Top, left, height and width of a part of an image, px."""

T = TypeVar("T", bound=np.generic)

TAG = 274
"""The tag's number in EXIF and in TIFF."""


@dataclass(frozen=True, slots=True)
class Orientation:
    """The way from stored to shown pixels: first transposed, then mirrored.

    Attributes:
        tag: the value of the tag, 1 to 8; 1 is the identity.
    """

    tag: int = 1

    @classmethod
    def of(cls, value: object) -> "Orientation":
        """Return the orientation of a tag's value; values outside the standard are the identity."""
        return cls(value if isinstance(value, int) and 1 <= value <= 8 else 1)

    @property
    def transposed(self) -> bool:
        """Whether rows are shown as columns, which swaps width and height."""
        return self.tag >= 5

    @property
    def _upside_down(self) -> bool:
        return self.tag in {3, 4, 7, 8}

    @property
    def _mirrored(self) -> bool:
        return self.tag in {2, 3, 6, 7}

    def shown_size(self, stored: tuple[int, int]) -> tuple[int, int]:
        """Return the shown width and height for the stored ones."""
        return (stored[1], stored[0]) if self.transposed else stored

    def stored_part(self, part: Region, shown: tuple[int, int]) -> Region:
        """Return the stored part for a part of the shown image, which has width and height `shown`."""
        top, left, height, width = part
        if self._upside_down:
            top = shown[1] - top - height
        if self._mirrored:
            left = shown[0] - left - width
        return (left, top, width, height) if self.transposed else (top, left, height, width)

    def apply(self, stored: npt.NDArray[T]) -> npt.NDArray[T]:
        """Turn stored pixels [h, w, ...] into shown pixels, as a view of the same memory."""
        pixels = stored.swapaxes(0, 1) if self.transposed else stored
        rows = slice(None, None, -1 if self._upside_down else 1)
        columns = slice(None, None, -1 if self._mirrored else 1)
        return pixels[rows, columns]
