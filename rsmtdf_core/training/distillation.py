"""The distillation loss: how far the student's translated tokens are from the teachers'."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor


def distillation_loss(
    student: Mapping[str, Tensor],
    teacher: Mapping[str, Tensor],
    kept: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Mean over teachers of the mean squared error of their tokens, in float32.

    Args:
        student: by teacher name, translated tokens [B, h, w, D].
        teacher: the same names, cached tokens [B, h, w, D] in any float dtype.
        kept: by teacher name, bool [B, h, w]: only these cells count, and a teacher with none gives
            0. None keeps all, padding included, as the reference does.

    Returns:
        A scalar.
    """
    assert student, "without teachers there is nothing to distill"
    assert student.keys() == teacher.keys(), (student.keys(), teacher.keys())
    losses = [
        _mean_squared_error(student[name], teacher[name], None if kept is None else kept[name])
        for name in student
    ]
    return torch.stack(losses).mean()


def _mean_squared_error(student: Tensor, teacher: Tensor, kept: Tensor | None) -> Tensor:
    student, teacher = student.float(), teacher.float()
    if kept is None:
        return F.mse_loss(student, teacher)
    # `where`, not a product: a cell that is not kept may hold anything, NaN included.
    difference = torch.where(kept[..., None], student - teacher, 0.0)
    numbers = kept.sum() * student.shape[-1]
    return difference.square().sum() / numbers.clamp(min=1)
