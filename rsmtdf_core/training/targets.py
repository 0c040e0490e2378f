"""Where the teachers' tokens come from: the store, or (as a control) the teachers themselves.

Both are called with a step's rows and the pixels the student sees, so the loop does not know which it has.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.teachers.teacher import Teacher
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.training.schedule import Rows, StepRows
from rsmtdf_core.views.compose import box_cells
from rsmtdf_core.views.plan import ViewPlan


@dataclass(frozen=True, slots=True)
class Targets:
    """What the student's tokens are compared with.

    Attributes:
        tokens: by teacher, float32 [B + U, h, w, D]: labeled samples first.
        kept: by teacher, bool [B + U, h, w]: False where a token counts for nothing; None keeps all.
    """

    tokens: dict[str, Tensor]
    kept: dict[str, Tensor] | None


class TargetSource(Protocol):
    """Gives a step's targets."""

    def __call__(self, rows: StepRows, images: Tensor) -> Targets:
        """Targets for `rows`; `images` is what the student sees, uint8 [B + U, 3, S, S]."""
        ...


class CachedTargets:
    """Targets read from memory-mapped stores; no teacher is loaded.

    Args:
        readers: one reader per teacher, addressed by plan row.
        shapes: the tokens of each teacher.
        plan: the view plan that the readers' rows refer to.
        device: where the targets are wanted.
    """

    def __init__(
        self,
        readers: Mapping[str, FeatureReader],
        shapes: Mapping[str, TokenShape],
        plan: ViewPlan,
        device: torch.device,
    ) -> None:
        self._readers = readers
        self._shapes = shapes
        self._plan = plan
        self._device = device
        self._buffers: dict[str, Tensor] = {}

    def __call__(self, rows: StepRows, images: Tensor) -> Targets:
        """Read the step's records; `images` is not needed."""
        del images
        wanted = np.concatenate([rows.labeled, rows.unlabeled])
        tokens = {name: self._read(name, wanted) for name in self._readers}
        if self._plan.settings.teacher_sees == "mixed":
            return Targets(tokens, None)
        return self._composed(tokens, rows)

    def _read(self, name: str, rows: Rows) -> Tensor:
        reader = self._readers[name]
        shape = (len(rows), *reader.codec.stored_shape)
        buffer = self._buffers.get(name)
        if buffer is None or buffer.shape != shape:
            # One buffer for the whole run: allocating a batch costs several times the copy into it.
            buffer = torch.from_numpy(np.empty(shape, reader.codec.dtype))
            pinned = self._device.type == "cuda"
            buffer = self._buffers[name] = buffer.pin_memory() if pinned else buffer
        reader.gather(rows, buffer.numpy())
        # Blocking, so that the buffer may be refilled as soon as this returns.
        return reader.codec.decode(buffer, self._device)

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
        return Targets(tokens, kept)


class OnlineTargets:
    """Targets computed by the teachers at every step from the pixels the student sees: the control arm."""

    def __init__(self, teachers: Mapping[str, Teacher]) -> None:
        self._teachers = teachers

    def __call__(self, rows: StepRows, images: Tensor) -> Targets:
        """Run every teacher on `images`; `rows` is not needed."""
        del rows
        # Cloned, because autograd refuses to keep tensors that were made in inference mode.
        found = {name: one.tokens(images).clone() for name, one in self._teachers.items()}
        return Targets(found, None)
