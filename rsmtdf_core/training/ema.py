"""The exponential moving average of the student, which labels weak views and, by default, is scored."""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

ModelT = TypeVar("ModelT", bound=nn.Module)


def ema_copy(student: ModelT) -> ModelT:
    """Return a frozen copy of the student in eval mode."""
    return copy.deepcopy(student).eval().requires_grad_(requires_grad=False)


def ema_ratio(step: int, limit: float) -> float:
    """Return the weight of the old average after `step` (from 0): min(1 - 1 / (step + 1), limit)."""
    return min(1 - 1 / (step + 1), limit)


@torch.no_grad()
def update_ema(ema: nn.Module, student: nn.Module, ratio: float) -> None:
    """Update parameters and floating buffers to `ratio * ema + (1 - ratio) * student`, and copy counters."""
    averages, values = _tensors(ema), _tensors(student)
    moving = [i for i, tensor in enumerate(averages) if tensor.is_floating_point()]
    torch._foreach_lerp_([averages[i] for i in moving], [values[i] for i in moving], 1 - ratio)
    for average, value in zip(averages, values, strict=True):
        if not average.is_floating_point():
            average.copy_(value)


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
