"""A transformer's position embedding on another grid, for the student and the teachers alike.

The reference resizes by a scale factor with a small offset and without antialias; timm resizes by size and with
antialias, which moves the features by 2 %.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# DINOv2's `interpolate_offset`: rows and columns are asked for with this much to spare, so that
# rounding the scale factor never loses one.
POSITION_OFFSET = 0.1


def resize_position(
    position_1ND: Tensor, prefix: int, old: tuple[int, int], new: tuple[int, int]
) -> Tensor:
    """A position embedding for another grid, as DINOv2's code resizes it.

    Args:
        position_1ND: `prefix` entries of prefix tokens, then one entry per cell of the old grid.
        prefix: how many entries belong to prefix tokens; they stay as they are.
        old: rows and columns the embedding was trained for.
        new: rows and columns wanted.

    Returns:
        [1, prefix + rows * columns, D] in the embedding's dtype.
    """
    if old == new:
        return position_1ND
    cells = position_1ND[:, prefix:].float().mT.reshape(1, -1, *old)
    scale = [(wanted + POSITION_OFFSET) / trained for wanted, trained in zip(new, old, strict=True)]
    cells = F.interpolate(cells, scale_factor=scale, mode="bicubic", antialias=False)
    assert tuple(cells.shape[-2:]) == new
    return torch.cat([position_1ND[:, :prefix], cells.flatten(2).mT.to(position_1ND.dtype)], dim=1)
