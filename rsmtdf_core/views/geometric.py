"""The distributions of crops and CutMix boxes, as in the reference method.

Sizes use the reference's expressions, so the same draws give the same integers.
"""

import math
from dataclasses import replace

from rsmtdf_core.views.draws import KeyedDraws
from rsmtdf_core.views.settings import CutMixSettings, ViewSettings
from rsmtdf_core.views.view import Box, Geometry


def draw_geometry(settings: ViewSettings, width: int, height: int, draws: KeyedDraws) -> Geometry:
    """Draw the weak view of a scene of `width` x `height` px.

    The long side is uniform over the integers from int(long * lo) to int(long * hi). The short side
    keeps the aspect ratio, rounded half up.
    """
    long, short = max(width, height), min(width, height)
    lo, hi = settings.scale
    new_long = draws.integer(max(1, int(long * lo)), max(1, int(long * hi)))
    new_short = max(1, int(1.0 * short * new_long / long + 0.5))
    new_width, new_height = (new_short, new_long) if height > width else (new_long, new_short)
    return Geometry(
        width=new_width,
        height=new_height,
        left=draws.integer(0, max(0, new_width - settings.crop)),
        top=draws.integer(0, max(0, new_height - settings.crop)),
        flip=draws.chance(settings.flip),
    )


def draw_orientation(settings: ViewSettings, geometry: Geometry, draws: KeyedDraws) -> Geometry:
    """Return the geometry with a drawn vertical flip and a drawn number of quarter turns."""
    flipped, turned = draws.chance(settings.vertical_flip), draws.chance(settings.quarter_turns)
    turns = draws.integer(0, 3)
    return replace(geometry, vertical_flip=flipped, quarter_turns=turns if turned else 0)


def draw_box(settings: CutMixSettings, crop: int, draws: KeyedDraws) -> Box | None:
    """Draw a CutMix box for a crop of `crop` px, or None with probability 1 - p.

    The area is drawn once; aspect and position are drawn until the box fits. The width is
    sqrt(area / aspect) and the height sqrt(area * aspect), truncated to integers of at least 1.
    """
    if not draws.chance(settings.p):
        return None
    area = draws.uniform(*settings.area) * crop * crop
    while True:
        aspect = draws.uniform(*settings.aspect)
        width = max(1, int(math.sqrt(area / aspect)))
        height = max(1, int(math.sqrt(area * aspect)))
        left, top = draws.integer(0, crop - 1), draws.integer(0, crop - 1)
        if left + width <= crop and top + height <= crop:
            return Box(left, top, width, height)
