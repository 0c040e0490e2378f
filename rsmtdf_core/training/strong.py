"""What turns weak views into the strong ones of a step: as the plan has it, fresh, or a further one.

The first strong view is the one that the plan has and the teachers may have seen. Methods that compare
several (UniMatch V2) have the others drawn here, anew in each epoch, from keys of their own.
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
    """What makes a strong view of a weak one.

    Attributes:
        photometric: of colours and sharpness; None stands for the plan's own.
        box: where the view shows its partner; None for nowhere.
    """

    photometric: Photometric | None
    box: Box | None


def change_of(plan: ViewPlan, row: int, epoch: int, number: int) -> Change:
    """The change that makes strong view `number`, from 0, of an unlabeled row in one epoch."""
    view = plan[row]
    key = (plan.scenes[view.scene].id, view.number, "fresh", epoch)
    if number == 0:
        # The teachers saw geometry only, so photometrics need not be those of the plan.
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
    """Strong views of `rows`, partners side by side, with CutMix; uint8 [crop, crop, 3] each.

    Args:
        plan: the view plan.
        rows: unlabeled rows of a step; the partner of the one at place i is at i ^ 1.
        epoch: the epoch they are seen in.
        number: which strong view, from 0.
        strong: gives the strong view of the row at a place, without CutMix, from its photometric change.
    """
    changes = [change_of(plan, row, epoch, number) for row in rows]
    views = [strong(i, change.photometric) for i, change in enumerate(changes)]
    return [paste(views[i], views[i ^ 1], change.box) for i, change in enumerate(changes)]


def pasted_pixels(plan: ViewPlan, rows: Sequence[int], epoch: int, number: int) -> list[Mask]:
    """Where strong views show their partners, bool [crop, crop] each."""
    size = plan.settings.crop
    own, partner = np.zeros((size, size), np.bool_), np.ones((size, size), np.bool_)
    return [paste(own, partner, change_of(plan, row, epoch, number).box) for row in rows]
