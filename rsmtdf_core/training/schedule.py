"""The views of each step: a pure function of the view plan, the seed and the step.

Batches contain whole CutMix pairs in adjacent samples, so the partner of sample i is sample i ^ 1. This
replays the reference method, in which partners are the mirrored samples of a batch.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rsmtdf_core.arrays import Rows
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.views.draws import KeyedDraws
from rsmtdf_core.views.plan import ViewPlan


@dataclass(frozen=True, slots=True)
class StepRows:
    """The plan rows of a step in one process.

    Attributes:
        epoch: the epoch of the step, from 0.
        labeled: rows of labeled weak views, [batch].
        unlabeled: rows of unlabeled views with adjacent partners, [batch] (or empty).
    """

    epoch: int
    labeled: Rows
    unlabeled: Rows


@dataclass(frozen=True)
class BatchSchedule:
    """The order of views over a training.

    An epoch is one pass over the unlabeled scenes; epoch e uses view number e modulo K, or number e if the views are
    fresh. The labeled list is repeated to that length (REFERENCE: equal batches), each repetition with the next view
    number. An epoch is one pass
    over the labeled scenes if there are no unlabeled scenes, or if the method does not train on them and they are too
    few for a batch.

    Args:
        plan: the view plan.
        batch: number of labeled crops (and of unlabeled crops) per process.
        seed: seed of the order of the views.
        rank: rank of this process.
        world: number of processes that share each step.
        trains_unlabeled: whether the method trains on the unlabeled views.

    Raises:
        ConfigError: If there are too few scenes for a batch.
    """

    plan: ViewPlan
    batch: int
    seed: int
    rank: int = 0
    world: int = 1
    trains_unlabeled: bool = True

    def __post_init__(self) -> None:
        if not self.plan.labeled_scenes:
            raise ConfigError("no scene is labeled", remedy="raise data.labeled")
        if self.has_unlabeled and self.steps_per_epoch == 0:
            largest = 2 * (len(self._pairs(0)) // self.world)
            raise ConfigError(
                f"a step needs {self.total} unlabeled scenes ({self.world} x optimiser.batch), found "
                f"{len(self.plan.unlabeled_scenes)}",
                where="optimiser.batch",
                remedy=f"--set optimiser.batch={largest}"
                if largest
                else "lower data.labeled, add images without masks, or --set objective.method=supervised",
            )

    @property
    def has_unlabeled(self) -> bool:
        """Whether an epoch is a pass over unlabeled scenes."""
        return bool(self.plan.unlabeled_scenes) and (
            self.trains_unlabeled or 2 * len(self._pairs(0)) >= self.total
        )

    @property
    def first(self) -> int:
        """Index of this process's first labeled (and unlabeled) sample in a step's global batch."""
        return self.rank * self.batch

    @property
    def total(self) -> int:
        """Number of labeled samples (and of unlabeled samples) in a step's global batch."""
        return self.batch * self.world

    @cached_property
    def steps_per_epoch(self) -> int:
        """Whole batches in one epoch."""
        if self.has_unlabeled:
            return 2 * len(self._pairs(0)) // (self.batch * self.world)
        return -(-len(self.plan.labeled_scenes) // (self.batch * self.world))

    @cached_property
    def _last(self) -> dict[int, tuple[Rows, Rows]]:
        # The last epoch and its order: steps are requested in order, in the loop and in each loader worker.
        return {}

    def rows(self, step: int) -> StepRows:
        """Return the rows of this process at `step`, counted from 0 over the whole training."""
        epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
        start = (step_in_epoch * self.world + self.rank) * self.batch
        # Several threads may call this, so none relies on the order that another one cached.
        order = self._last.get(epoch)
        if order is None:
            order = self._epoch(epoch)
            self._last.clear()
            self._last[epoch] = order
        labeled, unlabeled = order
        part = slice(start, start + self.batch)
        return StepRows(epoch=epoch, labeled=labeled[part], unlabeled=unlabeled[part])

    def _epoch(self, epoch: int) -> tuple[Rows, Rows]:
        draws = KeyedDraws(self.seed, "order", epoch)
        unlabeled = np.empty(0, np.int64)
        if self.has_unlabeled:
            pairs = self._pairs(epoch)
            unlabeled = pairs[draws.permutation(len(pairs))].reshape(-1)
        return self._labeled(epoch, draws), unlabeled

    def _labeled(self, epoch: int, draws: KeyedDraws) -> Rows:
        """Repeat the labeled list to the epoch's length, shuffled for each repetition."""
        needed = self.steps_per_epoch * self.batch * self.world
        repeats = -(-needed // len(self.plan.labeled_scenes))
        passes = []
        for repeat in range(epoch * repeats, (epoch + 1) * repeats):
            rows = self.plan.labeled_rows(repeat)
            passes.append(rows[draws.permutation(len(rows))])
        return np.concatenate(passes)[:needed]

    def _pairs(self, epoch: int) -> Rows:
        return self.plan.unlabeled_pairs(epoch)
