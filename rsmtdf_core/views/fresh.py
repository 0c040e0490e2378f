"""Views that are drawn at their use, without end, instead of planned and cached.

View n of a scene depends only on the seed, the scene's id, its role and n. So a fresh view is the view that a plan with
more views per scene would have, and a process or a resumed training draws it again from its row alone.
"""

from collections.abc import Sequence

import numpy as np

from rsmtdf_core.arrays import Rows
from rsmtdf_core.views.sampling import ViewSampler
from rsmtdf_core.views.view import View

_ORDERS = 2  # at the end of an epoch, views of the next are prefetched


class FreshViews:
    """Rows behind those of a plan, in the plan's order: by number, labeled views first, partners adjacent.

    Args:
        sampler: draws the views.
        labeled: scenes whose labeled views are fresh.
        unlabeled: scenes whose unlabeled views are fresh.
        first: the first row.
    """

    def __init__(
        self, sampler: ViewSampler, labeled: Sequence[int], unlabeled: Sequence[int], first: int
    ) -> None:
        self._sampler = sampler
        self._labeled = tuple(labeled)
        self._unlabeled = tuple(unlabeled)
        self._first = first
        self._orders: dict[int, list[int]] = {}

    @property
    def per_number(self) -> int:
        """Number of rows of each view number; 0 if no view is fresh."""
        return len(self._labeled) + len(self._unlabeled)

    def labeled_rows(self, number: int) -> Rows:
        """Return the rows of the labeled views of a number, int64 [labeled scenes], by scene."""
        return self._start(number) + np.arange(len(self._labeled))

    def unlabeled_pairs(self, number: int) -> Rows:
        """Return the rows of the CutMix pairs of a number, int64 [pairs, 2]."""
        paired = len(self._unlabeled) // 2 * 2
        start = self._start(number) + len(self._labeled)
        return start + np.arange(paired).reshape(-1, 2)

    def __getitem__(self, row: int) -> View:
        """Draw the view of a row."""
        number, position = divmod(row - self._first, self.per_number)
        labeled = position < len(self._labeled)
        partner = -1
        if labeled:
            scene = self._labeled[position]
            drawn = self._sampler.labeled(scene, number)
        else:
            position -= len(self._labeled)
            scene = self._order(number)[position]
            if (position ^ 1) < len(self._unlabeled):
                partner = row + (position ^ 1) - position
            drawn = self._sampler.unlabeled(scene, number, paired=partner >= 0)
        return View(
            row=row,
            scene=scene,
            number=number,
            labeled=labeled,
            geometry=drawn.geometry,
            photometric=drawn.photometric,
            partner=partner,
            box=drawn.box,
        )

    def _start(self, number: int) -> int:
        return self._first + number * self.per_number

    def _order(self, number: int) -> list[int]:
        # Several threads may call this, so the dictionary is replaced and never changed.
        orders = self._orders
        if number not in orders:
            kept = list(orders.items())[1 - _ORDERS :]
            orders = dict([*kept, (number, self._sampler.order(self._unlabeled, number))])
            self._orders = orders
        return orders[number]
