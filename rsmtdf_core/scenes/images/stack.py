"""Stack several open images of one area to the bands of one image (tests: test_stack.py)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.images.decoder import Header, Valid, Values
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.images.grid import same_area
from rsmtdf_core.scenes.images.orientation import Region

if TYPE_CHECKING:
    from rsmtdf_core.scenes.images.file import ImageFile


class StackDecoder:
    """The bands of several images of one grid, one image after the other, without alpha; see `Decoder`.

    Args:
        images: the open images.

    Raises:
        DataError: If small values are bright in some of the images only.
    """

    def __init__(self, images: Sequence["ImageFile"]) -> None:
        self._bands = [(image, band) for image in images for band in image.color_bands]
        first = images[0]
        for image in images:
            if image.white_is_zero != first.white_is_zero:
                raise DataError(
                    f"small values are bright in only one of {first.path} and this file",
                    where=image.path,
                    remedy="convert it: gdal_translate -co PHOTOMETRIC=MINISBLACK",
                )
        self.header = Header(
            frame=first.frame,
            dtypes=tuple(image.dtypes[band - 1] for image, band in self._bands),
            bits=tuple(image.bits[band - 1] for image, band in self._bands),
            interpretation=tuple(image.interpretation[band - 1] for image, band in self._bands),
            nodata=tuple(
                None if image.palette is not None else image.nodata[band - 1]
                for image, band in self._bands
            ),
            masked=tuple(image.lacks_data((band,)) for image, band in self._bands),
            white_is_zero=first.white_is_zero,
            by_parts=all(image.by_parts for image in images),
            by_rows=all(image.by_parts or image.by_rows for image in images),
        )

    def read(self, bands: tuple[int, ...], part: Region) -> Values:
        """Read values of a part, [h, w, C]."""
        dtype = np.result_type(*(self.header.dtypes[band - 1] for band in bands))
        _, _, height, width = part
        values = np.empty((height, width, len(bands)), dtype)
        for image, places in self._images(bands):
            of_image = tuple(self._bands[bands[place] - 1][1] for place in places)
            values[..., places] = image.read(of_image, part)
        return values

    def valid(self, bands: tuple[int, ...], part: Region) -> Valid:
        """Read where all of the images of the bands have data, bool [h, w, C], equal for all bands."""
        _, _, height, width = part
        valid: Valid = np.ones((height, width), bool)
        for image, places in self._images(bands):
            has_data = image.has_data(
                tuple(self._bands[bands[place] - 1][1] for place in places), part
            )
            if has_data is not None:
                valid &= has_data
        return np.broadcast_to(valid[..., None], (height, width, len(bands)))

    def _images(self, bands: tuple[int, ...]) -> list[tuple["ImageFile", list[int]]]:
        """Return each image with the places of its bands among the requested ones."""
        places: dict[int, list[int]] = {}
        for place, band in enumerate(bands):
            places.setdefault(id(self._bands[band - 1][0]), []).append(place)
        return [(self._bands[bands[of[0]] - 1][0], of) for of in places.values()]


def require_same_area(first: "ImageFile", other: "ImageFile") -> None:
    """Check that an image can be stacked on the first one.

    Raises:
        DataError: If their reference systems or extents differ.
    """
    if same_area(first.frame, other.frame):
        return
    target = "" if first.frame.crs is None else f"-t_srs {first.frame.crs.to_string()} "
    raise DataError(
        f"the files of one scene must have the same reference system and extent: {first.path} has "
        f"{_described(first.frame)}; this file has {_described(other.frame)}",
        where=other.path,
        remedy=f"gdalwarp {target}-te and the extent of the first file: {_extent(first.frame)}"
        if first.frame.bounds
        else "files of different sizes need a georeference; export them again with one",
    )


def _described(frame: Frame) -> str:
    if frame.bounds is None:
        return f"{frame.width} x {frame.height} px without a georeference"
    return f"{frame.crs.to_string()}, {_extent(frame)}"


def _extent(frame: Frame) -> str:
    assert frame.bounds is not None
    return " ".join(f"{side:.10g}" for side in frame.bounds)
