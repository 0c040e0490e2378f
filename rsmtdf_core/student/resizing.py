"""The resize of the student: bilinear with aligned corners, as in the reference.

Its weights sum to 1, so it commutes with every affine map that acts only on channels. The head and
the fusion therefore compute such maps at the smaller size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def resize_map(map_BCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize [B, C, H, W] to `size` (rows, columns); return the map itself if the size is equal."""
    # In an export this comparison would fix the sizes. There, resizing to an equal size has no effect.
    if not torch.compiler.is_exporting() and map_BCHW.shape[-2:] == size:
        return map_BCHW
    return F.interpolate(map_BCHW, size=size, mode="bilinear", align_corners=True)


def resize_tokens(tokens_BHWD: Tensor, grid: tuple[int, int]) -> Tensor:
    """Resize tokens [B, H, W, D] to `grid` (rows, columns)."""
    return resize_map(tokens_BHWD.permute(0, 3, 1, 2), grid).permute(0, 2, 3, 1)
