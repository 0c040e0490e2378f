"""The strong views of a step: as planned, with a new photometric change, or additional ones.

The first strong view is that of the plan, which the teachers may have seen. Methods that compare several
strong views (UniMatch V2) draw the others here in each epoch, from separate keys.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from rsmtdf_core.arrays import Mask, Pixels
from rsmtdf_core.views.draws import KeyedDraws
from rsmtdf_core.views.geometric import draw_box
from rsmtdf_core.views.photometric import draw_photometric
from rsmtdf_core.views.plan import Box, Photometric, ViewPlan
from rsmtdf_core.views.render import paste


class Change(NamedTuple):
    """The change from a weak view to a strong one.

    Attributes:
        photometric: the change of colors and sharpness; None for that of the plan.
        box: the part of the view that shows its partner; None for no part.
    """

    photometric: Photometric | None
    box: Box | None


def change_of(plan: ViewPlan, row: int, epoch: int, number: int) -> Change:
    """Return the change for strong view `number`, from 0, of an unlabeled row in an epoch."""
    view = plan[row]
    key = (plan.scenes[view.scene].id, view.number, "fresh", epoch)
    if number == 0:
        # The teachers only saw the geometry, so the photometric change need not be that of the plan.
        fresh = plan.settings.teacher_sees == "weak"
        draws = KeyedDraws(plan.seed, *key)
        return Change(draw_photometric(plan.settings, draws) if fresh else None, view.box)
    draws = KeyedDraws(plan.seed, *key, number)
    box_draws = KeyedDraws(plan.seed, *key, number, "cutmix")
    return Change(
        draw_photometric(plan.settings, draws),
        draw_box(plan.settings.cutmix, plan.settings.crop, box_draws),
    )


def mix(
    plan: ViewPlan,
    rows: Sequence[int],
    epoch: int,
    number: int,
    strong: Callable[[int, Photometric | None], Pixels],
) -> list[Pixels]:
    """Return strong views of `rows` with CutMix, uint8 [crop, crop, 3] each.

    Args:
        plan: the view plan.
        rows: unlabeled rows of a step; the partner of row i is row i ^ 1.
        epoch: the epoch of the step.
        number: number of the strong view, from 0.
        strong: renders the strong view of `rows[i]` without CutMix, from i and its photometric change.
    """
    changes = [change_of(plan, row, epoch, number) for row in rows]
    views = [strong(i, change.photometric) for i, change in enumerate(changes)]
    return [paste(views[i], views[i ^ 1], change.box) for i, change in enumerate(changes)]


def pasted_pixels(plan: ViewPlan, rows: Sequence[int], epoch: int, number: int) -> list[Mask]:
    """Return the pixels of strong views that show their partners, bool [crop, crop] each."""
    size = plan.settings.crop
    view, partner = np.zeros((size, size), np.bool_), np.ones((size, size), np.bool_)
    return [paste(view, partner, change_of(plan, row, epoch, number).box) for row in rows]
