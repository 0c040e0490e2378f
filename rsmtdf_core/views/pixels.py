"""Rendered views as records, for stages two that should decode and augment nothing.

A record is uint8 [crop, crop, channels]: the weak view in channels 0 to 2; then, of a labeled view, its mask in
channel 3; of an unlabeled one, what the student sees of it in channels 3 to 5, where the plan freezes that. Channels
without a meaning are 0.
"""

import numpy as np
import numpy.typing as npt

from rsmtdf_core.views.render import ViewRenderer
from rsmtdf_core.views.settings import ViewSettings

PIXELS = "pixels"
"""What stores of pixels have as the name of their teacher."""

Pixels = npt.NDArray[np.uint8]


def pixel_channels(settings: ViewSettings) -> int:
    """Channels of a record: strong views are in it where they are the same at each use."""
    return 4 if settings.teacher_sees == "weak" else 6


def pixel_record(renderer: ViewRenderer, row: int) -> Pixels:
    """The record of a plan's row, uint8 [crop, crop, channels]."""
    settings = renderer.plan.settings
    record = np.zeros((settings.crop, settings.crop, pixel_channels(settings)), np.uint8)
    record[..., :3] = renderer.weak(row)
    if renderer.plan[row].labeled:
        record[..., 3] = renderer.mask(row)
    elif settings.teacher_sees != "weak":
        record[..., 3:] = renderer.teacher_view(row)
    return record
