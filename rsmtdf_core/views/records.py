"""Rendered views as records, so that training can skip decoding and augmentation.

A record is uint8 [crop, crop, channels]. It starts with the bands of the weak view, usually three. A labeled view then
has its mask in one channel. An unlabeled view then has the bands of the view that the student sees, if the plan fixes
that view. Unused channels are 0.
"""

from typing import TYPE_CHECKING

import numpy as np

from rsmtdf_core.arrays import Pixels
from rsmtdf_core.views.settings import ViewSettings

if TYPE_CHECKING:
    from rsmtdf_core.views.render import ViewRenderer

PIXELS = "pixels"
"""The teacher name of pixel stores."""


def pixel_channels(settings: ViewSettings, bands: int) -> int:
    """Return the channels of a record, which includes the strong view if the plan fixes it."""
    return bands + (1 if settings.teacher_sees == "weak" else bands)


def pixel_bands(settings: ViewSettings, channels: int) -> int:
    """Return the number of bands of a view from the channels of its record."""
    return channels - 1 if settings.teacher_sees == "weak" else channels // 2


def pixel_record(renderer: "ViewRenderer", row: int) -> Pixels:
    """Render the record of a plan row, uint8 [crop, crop, channels]."""
    settings = renderer.plan.settings
    weak = renderer.weak(row)
    bands = weak.shape[2]
    record = np.zeros((settings.crop, settings.crop, pixel_channels(settings, bands)), np.uint8)
    record[..., :bands] = weak
    if renderer.plan[row].labeled:
        record[..., bands] = renderer.mask(row)
    elif settings.teacher_sees != "weak":
        record[..., bands:] = renderer.taught_view(row)
    return record
