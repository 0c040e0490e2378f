"""Losses, gradients and weights without NaN and infinities, checked on the device.

The check of a step queues a few small kernels and no transfer to the host. The result is read where the host waits
for the device anyway: before a step is logged, saved or validated.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

GRADIENTS = "gradients"
TOTAL = "loss"
_NEVER = torch.iinfo(torch.int64).max


class Divergence(NamedTuple):
    """The first step that produced NaN or infinity.

    Attributes:
        step: counted from 0.
        terms: names of the losses at fault; `gradients` alone where all losses were finite.
    """

    step: int
    terms: tuple[str, ...]


class FiniteCheck:
    """Remembers on the device in which step each loss, or the gradient, first was not finite.

    Args:
        parameters: whose gradients are checked.
        device: of the training.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], device: torch.device) -> None:
        self._parameters = list(parameters)
        self._device = device
        self._names: tuple[str, ...] = ()
        self._first: Tensor | None = None
        self.last: int | None = None
        """The latest step that was checked."""

    def update(self, step: int, losses: Mapping[str, Tensor], *, gradients: bool = True) -> None:
        """Check one step after its backward pass; does not wait for the device.

        Args:
            step: counted from 0.
            losses: scalars by name, the same names in every step.
            gradients: whether gradients count; a GradScaler skips the steps in which they overflow.
        """
        self.last = step
        values = [loss.detach().float() for loss in losses.values()]
        if gradients:
            grads = [one.grad for one in self._parameters if one.grad is not None]
            # Squares that overflow here do so in AdamW's second moments too.
            values.append(get_total_norm(grads).float())
        if self._first is None:
            self._names = (*losses, GRADIENTS) if gradients else tuple(losses)
            self._first = torch.full((len(values),), _NEVER, device=self._device)
        bad = ~torch.isfinite(torch.stack(values))
        self._first = torch.where(bad, self._first.clamp(max=step), self._first)

    @property
    def first(self) -> Tensor | None:
        """The first step at fault of each term, int64 [terms], on the device; None before any step."""
        return self._first

    def divergence(self, first: Tensor | None) -> Divergence | None:
        """The earliest step of `first` with the terms at fault; None where all were finite."""
        if first is None:
            return None
        steps = dict(zip(self._names, first.tolist(), strict=True))
        step = min(steps.values())
        if step == _NEVER:
            return None
        terms = [name for name, found in steps.items() if found == step]
        # A bad part makes the sum bad, and a bad loss makes the gradients bad.
        losses = [name for name in terms if name != GRADIENTS]
        parts = [name for name in losses if name != TOTAL]
        return Divergence(step, tuple(parts or losses or terms))
