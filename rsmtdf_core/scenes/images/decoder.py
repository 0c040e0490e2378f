"""The interface between image files and the libraries that decode them (tests: test_matrix.py)."""

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
    """Metadata of a file's pixels, read before decoding. Tuples have one entry per band.

    Attributes:
        frame: stored size, and georeference.
        dtypes: the dtype of each band.
        bits: significant bits of a sample; fewer than those of the dtype if the file packs them.
        interpretation: GDAL's color interpretation of each band: gray, red, green, blue, alpha, palette, undefined ...
        nodata: nodata value of each band; None without one.
        masked: whether the file excludes pixels of a band, by a nodata value, an internal mask or alpha.
        palette: RGBA of each stored value, uint8 [256, 4], if the only band holds indices.
        white_is_zero: whether small values are bright (TIFF's MINISWHITE).
        orientation: the way from stored to shown pixels.
        by_parts: whether decoding a part costs about its share of the whole; otherwise every part decodes the file.
        by_rows: whether decoding a part costs about the share of its rows, as in files of strips.
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
    by_rows: bool = False


class Decoder(Protocol):
    """An open file of one library; not thread-safe. Bands are counted from 1; parts refer to the stored image."""

    @property
    def header(self) -> Header:
        """The metadata of the file's pixels."""
        ...

    def read(self, bands: tuple[int, ...], part: Region) -> Values:
        """Read stored values of a part, [h, w, C], of the smallest dtype that holds all of the bands.

        Raises:
            DataError: If this part of the file is damaged.
        """
        ...

    def valid(self, bands: tuple[int, ...], part: Region) -> Valid:
        """Read where each band has data, bool [h, w, C].

        Raises:
            DataError: If this part of the file is damaged.
        """
        ...
