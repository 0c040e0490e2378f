"""Facts in a file's own tags that the decoding libraries do not tell, or tell only after decoding all of it."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from rsmtdf_core.scenes.images.orientation import TAG, Orientation

# That are looked through at most.
_PNG_CHUNKS = 100_000
_TIFF_ENTRIES = 4096


@dataclass(frozen=True, slots=True)
class PngTags:
    """What a PNG's chunks say.

    Attributes:
        bits: of a sample: 1, 2, 4, 8 or 16.
        indexed: whether samples are indices into a palette.
        orientation: from its EXIF data.
    """

    bits: int
    indexed: bool
    orientation: Orientation

    @property
    def plain(self) -> bool:
        """Whether Pillow gives its samples as they are stored: it spreads 2 and 4 bits of gray, and cuts 16 bits."""
        return self.bits == 8 or self.indexed


def png_tags(path: Path) -> PngTags:
    """Walk through a PNG's chunks; EXIF data may come after the pixels.

    A damaged file has what was readable: the decoder names the damage.
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
    """The orientation in a TIFF's first directory (TIFF 6.0, BigTIFF), which GDAL does not tell.

    A damaged directory has none: GDAL names the damage.
    """
    with path.open("rb") as file:
        start = file.read(16)
        order, big = "<" if start[:2] == b"II" else ">", b"+" in start[2:4]
        try:
            (place,) = struct.unpack_from(order + ("Q" if big else "I"), start, 8 if big else 4)
            file.seek(place)
            (count,) = struct.unpack(order + ("Q" if big else "H"), file.read(8 if big else 2))
            entry = np.dtype([("tag", order + "u2"), ("type", order + "u2"), ("count", order + ("u8" if big else "u4")),
                              ("value", order + "u2"), ("rest", "V6" if big else "V2")])  # fmt: skip
            entries = np.frombuffer(file.read(min(count, _TIFF_ENTRIES) * entry.itemsize), entry)
        except (OSError, ValueError, struct.error):
            return Orientation()
    values = entries["value"][entries["tag"] == TAG]
    return Orientation.of(int(values[0])) if values.size else Orientation()


def picture_orientation(image: Image.Image) -> Orientation:
    """The orientation that an open picture of Pillow's notes before its pixels; none where that is damaged."""
    try:
        # Not the PNG plug-in's own method, which decodes the picture first.
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
