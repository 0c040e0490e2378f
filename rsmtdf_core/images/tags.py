"""Facts in a file's own tags that the decoding libraries do not tell, or tell only after decoding all of it."""

import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, TiffImagePlugin

from rsmtdf_core.images.orientation import TAG, Orientation

_PNG_CHUNKS = 100_000  # that are walked through at most


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
        """Whether Pillow gives its samples as they are stored: it spreads 2 and 4 bits of grey, and cuts 16 bits."""
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
    """The orientation tag of a TIFF, which GDAL does not tell; none where the directory is damaged."""
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start = file.read(16)
            big = b"+" in start[2:4]
            directory = TiffImagePlugin.ImageFileDirectory_v2(start if big else start[:8])
            file.seek(directory.next)
            directory.load(file)
            return Orientation.of(directory.get(TAG))
    except (OSError, SyntaxError, ValueError, struct.error):
        return Orientation()


def picture_orientation(image: Image.Image) -> Orientation:
    """The orientation that an open picture of Pillow's notes before its pixels; none where that is damaged."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
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
