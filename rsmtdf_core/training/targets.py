"""Where the teachers' tokens come from: the store, or (as a control) the teachers themselves.

Both are called with a step's rows and the pixels the student sees, so the loop does not know which it has.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from rsmtdf_core.arrays import Rows
from rsmtdf_core.scenes.bands import SHOWN
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.ring import Ring, Slot
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.training.ahead import on_device
from rsmtdf_core.training.schedule import BatchSchedule, StepRows
from rsmtdf_core.views.compose import box_cells
from rsmtdf_core.views.plan import ViewPlan


@dataclass(frozen=True, slots=True)
class Targets:
    """What the student's tokens are compared with.

    Attributes:
        tokens: by teacher, float32 [B + U, h, w, D]: labeled samples first.
        kept: by teacher, bool [B + U, h, w]: False where a token counts for nothing; None keeps all.
        spreads: by teacher, the standard deviation of each channel over its store, float32 [D]; empty
            where tokens come from no store.
    """

    tokens: dict[str, Tensor]
    kept: dict[str, Tensor] | None
    spreads: Mapping[str, Tensor] = field(default_factory=dict)

    def part(self, samples: slice) -> "Targets":
        """Those of these samples of each kind, as `Batch.part` takes them."""
        kept = None if self.kept is None else _parts(self.kept, samples)
        return Targets(_parts(self.tokens, samples), kept, self.spreads)


def _parts(tensors: Mapping[str, Tensor], samples: slice) -> dict[str, Tensor]:
    halves = {name: one.chunk(2) for name, one in tensors.items()}
    return {
        name: torch.cat([labeled[samples], unlabeled[samples]])
        for name, (labeled, unlabeled) in halves.items()
    }


GetTargets = Callable[[StepRows, Tensor], Targets]
"""Gives the targets of a step from its rows and from what the student sees, uint8 [B + U, 3, S, S]."""


class TargetSource(Protocol):
    """Gives the targets of a training's steps."""

    def opened(
        self, schedule: BatchSchedule, start: int, stop: int
    ) -> AbstractContextManager[GetTargets]:
        """What gives the targets of steps `start` to `stop` - 1; they are asked for in order."""
        ...


class CachedTargets:
    """Targets read ahead from memory-mapped stores; no teacher is loaded.

    Args:
        readers: one reader per teacher, addressed by plan row.
        shapes: the tokens of each teacher.
        plan: the view plan that the readers' rows refer to.
        device: where the targets are wanted.
        spreads: by teacher, the standard deviation of each channel, float32 [D].
        threads: threads that copy and decompress records.
    """

    def __init__(
        self,
        readers: Mapping[str, FeatureReader],
        shapes: Mapping[str, TokenShape],
        plan: ViewPlan,
        device: torch.device,
        spreads: Mapping[str, Tensor] | None = None,
        threads: int = 1,
    ) -> None:
        self._readers = readers
        self._shapes = shapes
        self._plan = plan
        self._device = device
        self._spreads = {name: one.to(device) for name, one in (spreads or {}).items()}
        self._threads = threads

    @contextmanager
    def opened(self, schedule: BatchSchedule, start: int, stop: int) -> Iterator[GetTargets]:
        """What gives the targets of steps `start` to `stop` - 1; they are asked for in order."""

        def wanted(step: int) -> Rows:
            rows = schedule.rows(step)
            return np.concatenate([rows.labeled, rows.unlabeled])

        with Ring(
            self._readers,
            wanted,
            start,
            stop,
            batch=2 * schedule.batch,
            threads=self._threads,
            pin=self._device.type == "cuda",
        ) as ring:
            records = on_device(ring, lambda slot: slot.buffers, self._device, Slot.release)
            yield lambda rows, _images: self._targets(rows, next(records)[1])

    def _targets(self, rows: StepRows, records: Mapping[str, Tensor]) -> Targets:
        tokens = {
            name: self._readers[name].codec.decode(one, self._device)
            for name, one in records.items()
        }
        if self._plan.settings.teacher_sees == "mixed":
            return Targets(tokens, None, self._spreads)
        return self._composed(tokens, rows)

    def _composed(self, tokens: dict[str, Tensor], rows: StepRows) -> Targets:
        """Tokens of two cached views joined along the CutMix box; the tokens it cuts are left out."""
        crop, labeled = self._plan.settings.crop, len(rows.labeled)
        kept = {}
        for name, own in tokens.items():
            kept[name] = torch.ones(own.shape[:3], dtype=torch.bool, device=own.device)
            whole = own[labeled:].clone()
            for i, row in enumerate(rows.unlabeled.tolist()):
                cells = box_cells(self._plan[row].box, crop, self._shapes[name].grid)
                inside, cut = (torch.from_numpy(one).to(own.device) for one in cells)
                own[labeled + i] = torch.where(inside[..., None], whole[i ^ 1], whole[i])
                kept[name][labeled + i] = ~cut
        return Targets(tokens, kept, self._spreads)


class TokenSource(Protocol):
    """A loaded teacher, as far as training needs it."""

    def tokens(self, images: Tensor) -> Tensor:
        """Tokens [B, H, W, D] of images, uint8 [B, 3, S, S]."""
        ...


class OnlineTargets:
    """Targets computed by the teachers at every step from the pixels the student sees: the control arm."""

    def __init__(self, teachers: Mapping[str, TokenSource]) -> None:
        self._teachers = teachers

    @contextmanager
    def opened(self, schedule: BatchSchedule, start: int, stop: int) -> Iterator[GetTargets]:
        """What runs every teacher on a step's images."""
        del schedule, start, stop
        yield lambda _rows, images: self._targets(images)

    def _targets(self, images: Tensor) -> Targets:
        # Cloned, because autograd refuses to keep tensors that were made in inference mode.
        found = {
            name: one.tokens(images[:, :SHOWN]).clone() for name, one in self._teachers.items()
        }
        return Targets(found, None)
