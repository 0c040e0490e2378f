"""Check on the device that losses and gradients have no NaN or infinity.

The check of a step queues a few small kernels and no transfer to the host. The host reads the result when it waits
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
        terms: names of the non-finite losses; only `gradients` if all losses were finite.
    """

    step: int
    terms: tuple[str, ...]


class FiniteCheck:
    """Record on the device the first step in which each loss, or the gradient, was not finite.

    Args:
        parameters: the parameters whose gradients are checked.
        device: the device of the training.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], device: torch.device) -> None:
        self._parameters = list(parameters)
        self._device = device
        self._names: tuple[str, ...] = ()
        self._first: Tensor | None = None
        self.last: int | None = None
        """The last step that was checked."""

    def update(self, step: int, losses: Mapping[str, Tensor], *, gradients: bool = True) -> None:
        """Check a step after its backward pass, without waiting for the device.

        Args:
            step: the step, counted from 0.
            losses: scalars by name, with the same names in every step.
            gradients: whether to check gradients; a GradScaler skips the steps in which they overflow.
        """
        self.last = step
        values = [loss.detach().float() for loss in losses.values()]
        if gradients:
            grads = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
            # Squares that overflow here would also overflow in AdamW's second moments.
            values.append(get_total_norm(grads).float())
        if self._first is None:
            self._names = (*losses, GRADIENTS) if gradients else tuple(losses)
            self._first = torch.full((len(values),), _NEVER, device=self._device)
        bad = ~torch.isfinite(torch.stack(values))
        self._first = torch.where(bad, self._first.clamp(max=step), self._first)

    @property
    def first(self) -> Tensor | None:
        """First non-finite step of each term, int64 [terms], on the device; None before any step."""
        return self._first

    def divergence(self, first: Tensor | None) -> Divergence | None:
        """Return the earliest step of `first` with its non-finite terms; None if all were finite."""
        if first is None:
            return None
        steps = dict(zip(self._names, first.tolist(), strict=True))
        step = min(steps.values())
        if step == _NEVER:
            return None
        terms = [name for name, first_step in steps.items() if first_step == step]
        # A non-finite part makes the sum non-finite, and a non-finite loss the gradients.
        losses = [name for name in terms if name != GRADIENTS]
        parts = [name for name in losses if name != TOTAL]
        return Divergence(step, tuple(parts or losses or terms))
