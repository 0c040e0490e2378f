"""Resize a transformer's position embedding to another grid, for the student and the teachers.

The reference resizes by a scale factor with a small offset and without antialias; timm resizes by size and with
antialias, which moves the features by 2 %.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# DINOv2's `interpolate_offset`: it is added to the numbers of rows and columns, so that rounding of
# the scale factor never loses a row or column.
POSITION_OFFSET = 0.1


def resize_position(
    position_1ND: Tensor, prefix: int, old: tuple[int, int], new: tuple[int, int]
) -> Tensor:
    """Resize a position embedding to another grid, as DINOv2's code does.

    Args:
        position_1ND: `prefix` entries of prefix tokens, then one entry per cell of the old grid.
        prefix: number of entries of prefix tokens, which are not changed.
        old: rows and columns of the grid in training.
        new: rows and columns of the new grid.

    Returns:
        [1, prefix + rows * columns, D] in the embedding's dtype.
    """
    if torch.compiler.is_exporting():
        return _resize_any(position_1ND, prefix, old, new)
    if old == new:
        return position_1ND
    cells = position_1ND[:, prefix:].float().mT.reshape(1, -1, *old)
    scale = [(wanted + POSITION_OFFSET) / trained for wanted, trained in zip(new, old, strict=True)]
    cells = F.interpolate(cells, scale_factor=scale, mode="bicubic", antialias=False)
    assert tuple(cells.shape[-2:]) == new
    return torch.cat([position_1ND[:, :prefix], cells.flatten(2).mT.to(position_1ND.dtype)], dim=1)


def _resize_any(
    position_1ND: Tensor, prefix: int, old: tuple[int, int], new: tuple[int, int]
) -> Tensor:
    """Resize without branches for an export, whose `new` may be symbolic: one matrix per axis."""
    cells = position_1ND[:, prefix:].float().mT.reshape(-1, *old)
    weights = [_cubic_weights(wanted, trained) for wanted, trained in zip(new, old, strict=True)]
    as_trained = (weights[0][1] == old[0]) & (weights[1][1] == old[1])
    rows, columns = (
        torch.where(as_trained, torch.eye(wanted, trained), matrix)
        for (matrix, _), wanted, trained in zip(weights, new, old, strict=True)
    )
    cells = (rows @ cells @ columns.mT).flatten(1).mT[None]
    return torch.cat([position_1ND[:, :prefix], cells.to(position_1ND.dtype)], dim=1)


def _cubic_weights(new: int, old: int) -> tuple[Tensor, Tensor]:
    """Return the weight of each old cell in each new cell, float32 [new, old], and `new` as a tensor [1]."""
    cells = torch.arange(new, dtype=torch.float32)
    count = cells[-1:] + 1
    source = (cells + 0.5) * (old / (count + POSITION_OFFSET)) - 0.5
    first = source.floor()
    total = torch.zeros(1)
    for step in (-1, 0, 1, 2):
        cell = (first + step).clamp(0, old - 1)
        share = _cubic((source - first - step).abs())
        total = total + share[:, None] * (cell[:, None] == torch.arange(old))
    return total, count


def _cubic(distance: Tensor) -> Tensor:
    """The kernel of torch's bicubic resize (Keys, a = -0.75) at distances in [0, 2]."""
    near = (1.25 * distance - 2.25) * distance * distance + 1
    far = ((-0.75 * distance + 3.75) * distance - 6) * distance + 3
    return torch.where(distance <= 1, near, far)
