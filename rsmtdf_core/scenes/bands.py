"""Which bands of a raster are seen, and which of their values is 0 and which 255.

Views are uint8, so the choice is made once, where pixels are read: the first three bands are red, green
and blue as teachers and pictures have them, and a student sees these and all others. The ranges are
fixed numbers and not each file's own percentiles: a value then means the same in every scene, and a
window can be read without the rest of its raster.
"""

from typing import Annotated, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationInfo, field_validator, model_validator

from rsmtdf_core.settings import Settings

Range = tuple[float, float]
# Differences of values stay within float32.
_Value = Annotated[float, Field(ge=-1e37, le=1e37)]

SHOWN = 3
"""The first bands of an image, red, green and blue as teachers and pictures have them; a student may see more."""


class BandSettings(Settings):
    """A choice of bands with their scaling to 0..255.

    Attributes:
        indices: the bands shown as red, green and blue, which teachers see, then those that the student sees beside
            them; counted from 1, and one may be named several times.
        scale: `[low, high]` for all of them, or one such pair for each: what becomes 0 and 255. Values
            beyond are clipped. None where the bands are of 8 bits and stay as they are.
    """

    indices: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = Field(
        default=(1, 2, 3), min_length=SHOWN
    )
    scale: tuple[tuple[_Value, _Value], ...] | None = None

    @field_validator("scale", mode="before")
    @classmethod
    def _one_for_each(cls, scale: object, info: ValidationInfo) -> object:
        """One pair of numbers stands for all bands."""
        match scale:
            case [int() | float() | str(), int() | float() | str()]:
                return [scale] * len(
                    info.data.get("indices", ())
                )  # none where the indices are wrong
        return scale

    @model_validator(mode="after")
    def _goes_up(self) -> Self:
        if self.scale is not None and len(self.scale) != len(self.indices):
            raise ValueError(
                f"scale has {len(self.scale)} pairs for {len(self.indices)} bands: give one for all, or one for each"
            )
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
    """The chosen bands [C, H, W] as uint8 [H, W, C]; black where they are not `valid` [H, W].

    With a scale, v becomes round(255 (v - low) / (high - low)), clipped to 0..255.
    """
    pixels = np.empty((*values.shape[1:], len(values)), np.uint8)
    for place, band in enumerate(values):
        if bands.scale is not None:
            low, high = bands.scale[place]
            share = (band.astype(np.float32) - np.float32(low)) / np.float32(high - low)
            pixels[..., place] = np.rint(np.clip(np.where(valid, share, 0), 0, 1) * 255)
        else:
            pixels[..., place] = band
    pixels[~valid] = 0
    return pixels
