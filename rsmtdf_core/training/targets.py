"""Sources of the teachers' tokens: the store, or (as a control) the teachers themselves.

Both take a step's rows and the student's images, so the loop does not depend on the source.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from rsmtdf_core.arrays import Rows
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.ring import Ring, Slot
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.training.ahead import on_device
from rsmtdf_core.training.schedule import BatchSchedule, StepRows
from rsmtdf_core.training.standardise import TokenMap
from rsmtdf_core.views.compose import box_cells
from rsmtdf_core.views.plan import ViewPlan
from rsmtdf_core.views.settings import FRESH


@dataclass(frozen=True, slots=True)
class Targets:
    """The teachers' tokens of a step.

    Attributes:
        tokens: by teacher, float32 [B + U, h, w, D], labeled samples first; mapped as `distillation.targets` selects.
            U is 0 if the method trains on labeled samples only.
        kept: by teacher, bool [B + U, h, w], False for tokens that do not count; None keeps all.
        spreads: by teacher, the standard deviation of each channel over its store, float32 [D]; empty
            for tokens computed online.
        labeled: whether labeled samples have tokens; if not, `tokens` and `kept` are [U, ...]: cached tokens of
            planned views only, as no teacher saw fresh ones.
    """

    tokens: dict[str, Tensor]
    kept: dict[str, Tensor] | None
    spreads: Mapping[str, Tensor] = field(default_factory=dict)
    labeled: bool = True

    def part(self, samples: slice, labeled: int) -> "Targets":
        """Return the targets of the same samples as `Batch.part`, of a batch with this number of labeled samples."""
        first = labeled if self.labeled else 0
        kept = None if self.kept is None else _parts(self.kept, samples, first)
        return Targets(_parts(self.tokens, samples, first), kept, self.spreads, self.labeled)


def _parts(tensors: Mapping[str, Tensor], samples: slice, labeled: int) -> dict[str, Tensor]:
    return {
        name: torch.cat([tensor[:labeled][samples], tensor[labeled:][samples]])
        for name, tensor in tensors.items()
    }


GetTargets = Callable[[StepRows, Tensor], Targets]
"""Returns the targets of a step from its rows and the student's images, uint8 [B + U, 3, S, S]."""


class TargetSource(Protocol):
    """A source of the targets of a training, by step."""

    def opened(
        self, schedule: BatchSchedule, start: int, stop: int
    ) -> AbstractContextManager[GetTargets]:
        """Open the targets of steps `start` to `stop` - 1, to be requested in order."""
        ...


class CachedTargets:
    """Targets prefetched from memory-mapped stores; no teacher is loaded.

    Args:
        readers: by teacher, a reader addressed by plan row.
        shapes: by teacher, the shape of its tokens.
        plan: the view plan of the readers' rows.
        device: the target device.
        spreads: by teacher, the standard deviation of each channel, float32 [D].
        maps: by teacher, the map from its tokens to its targets; a teacher without a map has its tokens as targets.
        threads: number of threads that copy and decompress records.
    """

    def __init__(
        self,
        readers: Mapping[str, FeatureReader],
        shapes: Mapping[str, TokenShape],
        plan: ViewPlan,
        device: torch.device,
        spreads: Mapping[str, Tensor] | None = None,
        maps: Mapping[str, TokenMap] | None = None,
        threads: int = 1,
    ) -> None:
        self._readers = readers
        self._shapes = shapes
        self._plan = plan
        self._device = device
        self._spreads = {name: spread.to(device) for name, spread in (spreads or {}).items()}
        self._maps = {name: token_map.to(device) for name, token_map in (maps or {}).items()}
        self._threads = threads
        self._labeled = plan.settings.labeled_views != FRESH

    @property
    def state(self) -> dict[str, Tensor]:
        """The tensors of the maps by name. A run keeps them, because eigenvectors depend on the machine."""
        return {
            f"{teacher}.{name}": tensor
            for teacher, token_map in self._maps.items()
            for name, tensor in token_map.tensors.items()
        }

    @contextmanager
    def opened(self, schedule: BatchSchedule, start: int, stop: int) -> Iterator[GetTargets]:
        """Open the targets of steps `start` to `stop` - 1, to be requested in order."""

        def rows_of(step: int) -> Rows:
            rows = schedule.rows(step)
            taught = [rows.labeled] if self._labeled else []
            return np.concatenate(
                [*taught, rows.unlabeled] if schedule.trains_unlabeled else taught
            )

        with Ring(
            self._readers,
            rows_of,
            start,
            stop,
            batch=schedule.size if self._labeled else schedule.batch,
            threads=self._threads,
            pin=self._device.type == "cuda",
        ) as ring:
            records = on_device(ring, lambda slot: slot.buffers, self._device, Slot.release)
            yield lambda rows, _images: self._targets(rows, next(records)[1])

    def _targets(self, rows: StepRows, records: Mapping[str, Tensor]) -> Targets:
        tokens = {
            name: self._readers[name].codec.decode(record, self._device)
            for name, record in records.items()
        }
        tokens |= {name: token_map(tokens[name]) for name, token_map in self._maps.items()}
        if self._plan.settings.teacher_sees == "mixed":
            return Targets(tokens, None, self._spreads, self._labeled)
        return self._composed(tokens, rows)

    def _composed(self, tokens: dict[str, Tensor], rows: StepRows) -> Targets:
        """Compose the tokens of mixed views from both partners; tokens on the edge of the box do not count."""
        crop = self._plan.settings.crop
        labeled = len(rows.labeled) if self._labeled else 0
        kept = {}
        for name, tokens_BHWD in tokens.items():
            device = tokens_BHWD.device
            kept[name] = torch.ones(tokens_BHWD.shape[:3], dtype=torch.bool, device=device)
            unmixed = tokens_BHWD[labeled:].clone()
            for i, row in enumerate(rows.unlabeled[: len(unmixed)].tolist()):
                cells = box_cells(self._plan[row].box, crop, self._shapes[name].grid)
                inside, cut = (torch.from_numpy(mask).to(device) for mask in cells)
                tokens_BHWD[labeled + i] = torch.where(
                    inside[..., None], unmixed[i ^ 1], unmixed[i]
                )
                kept[name][labeled + i] = ~cut
        return Targets(tokens, kept, self._spreads, self._labeled)


class TokenSource(Protocol):
    """The part of a loaded teacher that training uses."""

    def tokens(self, images: Tensor) -> Tensor:
        """Compute tokens [B, H, W, D] of images, uint8 [B, bands, S, S]."""
        ...


class OnlineTargets:
    """Targets computed by the teachers in every step from the student's images, as a control."""

    def __init__(self, teachers: Mapping[str, TokenSource]) -> None:
        self._teachers = teachers

    @contextmanager
    def opened(self, schedule: BatchSchedule, start: int, stop: int) -> Iterator[GetTargets]:
        """Open targets that run every teacher on a step's images."""
        del schedule, start, stop
        yield lambda _rows, images: self._targets(images)

    def _targets(self, images: Tensor) -> Targets:
        # Cloned, because autograd cannot save tensors that were created in inference mode.
        tokens = {name: teacher.tokens(images).clone() for name, teacher in self._teachers.items()}
        return Targets(tokens, None)
