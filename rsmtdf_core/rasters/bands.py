"""Which bands of a raster are red, green and blue, and which of their values is 0 and which 255.

Views, teachers and students take uint8 RGB, so the choice is made once, where pixels are read, and
all of them see the same. The ranges are fixed numbers and not each file's own percentiles: a value
then means the same in every scene, and a window can be read without the rest of its raster.
"""

from typing import Annotated, Self

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, Field, model_validator

from rsmtdf_core.settings import Settings

Range = tuple[float, float]


def _one_for_each(value: object) -> object:
    """One pair of numbers stands for all three bands."""
    if isinstance(value, list | tuple) and len(value) == 2:
        first, second = value
        if not isinstance(first, list | tuple) and not isinstance(second, list | tuple):
            return (value, value, value)
    return value


class BandSettings(Settings):
    """A choice of three bands with their scaling to 0..255.

    Attributes:
        indices: the bands shown as red, green and blue, counted from 1; one may be named several times.
        scale: `[low, high]` for all three, or one such pair for each: what becomes 0 and 255. Values
            beyond are clipped. None where the bands are of 8 bits and stay as they are.
    """

    indices: tuple[
        Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]
    ] = (1, 2, 3)
    scale: Annotated[tuple[Range, Range, Range] | None, BeforeValidator(_one_for_each)] = None

    @model_validator(mode="after")
    def _goes_up(self) -> Self:
        for low, high in self.scale or ():
            if not low < high:
                raise ValueError(f"scale goes from low to high, found [{low:g}, {high:g}]")
        return self


def middle_range(values: npt.NDArray[np.generic]) -> Range:
    """The 2nd and 98th percentiles of values [N], a range that shows them well; at least 1 wide."""
    known = values.astype(np.float64)
    low, high = map(float, np.percentile(known, [2, 98]) if known.size else (0.0, 1.0))
    return low, high if high > low else low + 1


def scaled(
    values: npt.NDArray[np.generic], bands: BandSettings, valid: npt.NDArray[np.bool_]
) -> npt.NDArray[np.uint8]:
    """The chosen bands [3, H, W] as uint8 [H, W, 3]; black where they are not `valid` [H, W].

    With a scale, v becomes round(255 (v - low) / (high - low)), clipped to 0..255.
    """
    pixels = np.empty((*values.shape[1:], 3), np.uint8)
    for place in range(3):
        band = values[place]
        if bands.scale is not None:
            low, high = bands.scale[place]
            share = (band.astype(np.float32) - np.float32(low)) / np.float32(high - low)
            band = np.rint(np.clip(np.where(valid, share, 0), 0, 1) * 255)
        pixels[..., place] = band.astype(np.uint8)
    pixels[~valid] = 0
    return pixels
