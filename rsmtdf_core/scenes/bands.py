"""Choose the bands of a raster, and the values that become 0 and 255.

Views are uint8, so the choice is applied when pixels are read. The first three bands are red, green and blue for
pictures, and for teachers that name no others; a student sees all bands. The ranges are fixed numbers instead of
percentiles of each file: a value then means the same in every scene, and a window can be read without the rest of its
raster.
"""

from collections.abc import Sized
from typing import Annotated, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationInfo, field_validator, model_validator

from rsmtdf_core.settings import Settings

Range = tuple[float, float]
# Differences of values stay within float32.
_Value = Annotated[float, Field(ge=-1e37, le=1e37)]
Scale = tuple[tuple[_Value, _Value], ...]
"""The values that become 0 and 255, by band."""

SHOWN = 3
"""The number of bands that pictures show as red, green and blue; teachers and students may use more."""


class BandSettings(Settings):
    """A choice of bands with their scaling to 0..255.

    Attributes:
        indices: the bands shown as red, green and blue, then further bands for student and teachers; counted
            from 1. A band may occur several times.
        scale: the values that become 0 and 255: `[low, high]` for all bands, or a pair for each band. Values beyond
            are clipped. None for 8-bit bands, which are not scaled.
    """

    indices: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = Field(
        default=(1, 2, 3), min_length=SHOWN
    )
    scale: Scale | None = None

    @field_validator("scale", mode="before")
    @classmethod
    def _one_for_each(cls, scale: object, info: ValidationInfo) -> object:
        return pair_for_each(
            scale, info.data.get("indices", ())
        )  # empty if the indices are invalid

    @model_validator(mode="after")
    def _goes_up(self) -> Self:
        require_scale(self.scale, len(self.indices))
        return self


def pair_for_each(scale: object, bands: Sized) -> object:
    """Repeat a scale for each of `bands` if it is a single pair of numbers; return any other value unchanged."""
    match scale:
        case [int() | float() | str(), int() | float() | str()]:
            return [scale] * len(bands)
    return scale


def require_scale(scale: Scale | None, bands: int) -> None:
    """Check the scale of a number of bands.

    Raises:
        ValueError: If it has another number of pairs, or a pair does not go up.
    """
    if scale is not None and len(scale) != bands:
        raise ValueError(
            f"scale has {len(scale)} pairs for {bands} bands: give one pair for all bands, or one for each"
        )
    for low, high in scale or ():
        if not low < high:
            raise ValueError(f"scale goes from low to high, found [{low:g}, {high:g}]")


def middle_range(values: npt.NDArray[np.generic]) -> Range:
    """Return the 2nd and 98th percentiles of values [N], a range that shows them well; at least 1 wide."""
    floats = values.astype(np.float64)
    low, high = map(float, np.percentile(floats, [2, 98]) if floats.size else (0.0, 1.0))
    return low, high if high > low else low + 1


def scaled(
    values: npt.NDArray[np.generic], bands: BandSettings, valid: npt.NDArray[np.bool_]
) -> npt.NDArray[np.uint8]:
    """Scale the chosen bands [C, H, W] to uint8 [H, W, C]; pixels that are not `valid` [H, W] become black.

    With a scale, v becomes round(255 (v - low) / (high - low)), clipped to 0..255.
    """
    pixels = np.empty((*values.shape[1:], len(values)), np.uint8)
    for channel, band in enumerate(values):
        if bands.scale is not None:
            low, high = bands.scale[channel]
            share = (band.astype(np.float32) - np.float32(low)) / np.float32(high - low)
            pixels[..., channel] = np.rint(np.clip(np.where(valid, share, 0), 0, 1) * 255)
        else:
            pixels[..., channel] = band
    pixels[~valid] = 0
    return pixels
