"""The border between image files and the libraries that decode them."""

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.images.orientation import Orientation, Region

Values = npt.NDArray[Any]
Valid = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of its pixels before any is decoded; all by band, in the order of the bands.

    Attributes:
        frame: size as stored, and place.
        dtypes: kinds of number.
        bits: significant bits of a sample; fewer than the dtype has where the file packs them.
        interpretation: what each band shows, in GDAL's words: gray, red, green, blue, alpha, palette, undefined ...
        nodata: values that stand for no data; None where there is none.
        masked: whether the file leaves pixels out, by a nodata value, an internal mask or alpha.
        palette: RGBA of each stored value, uint8 [256, 4], where the one band holds indices.
        white_is_zero: whether small values are bright (TIFF's MINISWHITE).
        orientation: how stored pixels lie in the shown picture.
        by_parts: whether a part costs about its share of the whole; else all is decoded for any part.
    """

    frame: Frame
    dtypes: tuple[np.dtype[Any], ...]
    bits: tuple[int, ...]
    interpretation: tuple[str, ...]
    nodata: tuple[float | None, ...]
    masked: tuple[bool, ...]
    palette: npt.NDArray[np.uint8] | None = None
    white_is_zero: bool = False
    orientation: Orientation = field(default_factory=Orientation)
    by_parts: bool = False


class Decoder(Protocol):
    """An open file of one library; for one thread. Bands are counted from 1, parts are of the stored image."""

    @property
    def header(self) -> Header:
        """What the file says of its pixels."""
        ...

    def read(self, bands: tuple[int, ...], part: Region) -> Values:
        """Stored values of a part, [h, w, C], of the smallest dtype that holds all of the bands.

        Raises:
            DataError: the file is damaged there.
        """
        ...

    def valid(self, bands: tuple[int, ...], part: Region) -> Valid:
        """Where each band has data, bool [h, w, C].

        Raises:
            DataError: the file is damaged there.
        """
        ...
