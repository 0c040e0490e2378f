"""Read tags that the decoding libraries do not expose, or expose only after decoding the whole file."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from rsmtdf_core.scenes.images.orientation import TAG, Orientation

# Largest numbers of entries to inspect.
_PNG_CHUNKS = 100_000
_TIFF_ENTRIES = 4096


@dataclass(frozen=True, slots=True)
class PngTags:
    """Metadata in a PNG's chunks.

    Attributes:
        bits: bits of a sample: 1, 2, 4, 8 or 16.
        indexed: whether samples are indices into a palette.
        orientation: the orientation in its EXIF data.
    """

    bits: int
    indexed: bool
    orientation: Orientation

    @property
    def plain(self) -> bool:
        """Whether Pillow returns the stored samples: it spreads gray of 2 and 4 bits, and truncates 16 bits."""
        return self.bits == 8 or self.indexed


def png_tags(path: Path) -> PngTags:
    """Read a PNG's chunks; EXIF data may follow the pixels.

    For a damaged file, return the readable tags: the decoder reports the damage.
    """
    bits, color, orientation = 8, 2, Orientation()
    with path.open("rb") as file:
        file.seek(8)
        for _ in range(_PNG_CHUNKS):
            head = file.read(8)
            if len(head) < 8:
                break
            length, kind = struct.unpack(">I4s", head)
            if kind == b"IHDR":
                content = file.read(13)
                bits, color = (content[8], content[9]) if len(content) == 13 else (bits, color)
                file.seek(length - len(content) + 4, 1)
            elif kind == b"eXIf":
                orientation = _exif_orientation(file.read(length))
                break
            else:
                file.seek(length + 4, 1)
    return PngTags(bits, color == 3, orientation)


def tiff_orientation(path: Path) -> Orientation:
    """Read the orientation in a TIFF's first directory (TIFF 6.0, BigTIFF), which GDAL does not expose.

    A damaged directory has no orientation: GDAL reports the damage.
    """
    with path.open("rb") as file:
        start = file.read(16)
        order, big = "<" if start[:2] == b"II" else ">", b"+" in start[2:4]
        try:
            (offset,) = struct.unpack_from(order + ("Q" if big else "I"), start, 8 if big else 4)
            file.seek(offset)
            (count,) = struct.unpack(order + ("Q" if big else "H"), file.read(8 if big else 2))
            entry = np.dtype([("tag", order + "u2"), ("type", order + "u2"), ("count", order + ("u8" if big else "u4")),
                              ("value", order + "u2"), ("rest", "V6" if big else "V2")])  # fmt: skip
            entries = np.frombuffer(file.read(min(count, _TIFF_ENTRIES) * entry.itemsize), entry)
        except (OSError, ValueError, struct.error):
            return Orientation()
    values = entries["value"][entries["tag"] == TAG]
    return Orientation.of(int(values[0])) if values.size else Orientation()


def picture_orientation(image: Image.Image) -> Orientation:
    """Return the orientation in the header of an open picture of Pillow; the identity if it is damaged."""
    try:
        # The method of Pillow's PNG plug-in would decode the picture first.
        return Orientation.of(Image.Image.getexif(image).get(TAG))
    except (OSError, SyntaxError, ValueError, struct.error):
        return Orientation()


def _exif_orientation(data: bytes) -> Orientation:
    exif = Image.Exif()
    try:
        exif.load(b"Exif\0\0" + data)
        return Orientation.of(exif.get(TAG))
    except (OSError, SyntaxError, ValueError, struct.error):
        return Orientation()
