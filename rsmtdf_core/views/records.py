"""Rendered views as records, for stages two that should decode and augment nothing.

A record is uint8 [crop, crop, channels]: first the weak view's bands, mostly three; then, of a labeled view, its mask
in one channel; of an unlabeled one, what the student sees of it in as many channels as there are bands, where the plan
freezes that. Channels without a meaning are 0.
"""

import numpy as np

from rsmtdf_core.arrays import Pixels
from rsmtdf_core.views.render import ViewRenderer
from rsmtdf_core.views.settings import ViewSettings

PIXELS = "pixels"
"""What stores of pixels have as the name of their teacher."""


def pixel_channels(settings: ViewSettings, bands: int) -> int:
    """Channels of a record: strong views are in it where they are the same at each use."""
    return bands + (1 if settings.teacher_sees == "weak" else bands)


def pixel_bands(settings: ViewSettings, channels: int) -> int:
    """The bands of views whose records have that many channels."""
    return channels - 1 if settings.teacher_sees == "weak" else channels // 2


def pixel_record(renderer: ViewRenderer, row: int) -> Pixels:
    """The record of a plan's row, uint8 [crop, crop, channels]."""
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
