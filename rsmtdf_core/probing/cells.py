"""Bring masks and feature maps to a common grid of cells. A cell is an area of the view, so all maps align by area."""

import torch
import torch.nn.functional as F
from torch import Tensor

from rsmtdf_core.arrays import Floats, Pixels


def class_shares(
    mask: Pixels, grid: tuple[int, int], classes: int, ignore_id: int
) -> tuple[Floats, Floats]:
    """Return the share of each class among the labeled pixels of each cell, and the share of labeled pixels.

    Args:
        mask: class ids, uint8 [S, S].
        grid: rows h and columns w of cells.
        classes: number of classes C, with ids 0..C-1.
        ignore_id: id of ignored pixels.

    Returns:
        Class shares, float32 [h * w, C], which sum to 1, or are 0 in a cell without labeled pixels; and the share of
        labeled pixels in each cell, float32 [h * w] in 0..1.
    """
    ids = torch.from_numpy(mask.astype("int64"))
    labeled = ids != ignore_id
    one_hot = F.one_hot(torch.where(labeled, ids, 0), classes).permute(2, 0, 1)[None]
    areas = F.adaptive_avg_pool2d((one_hot * labeled).float(), grid)[0].flatten(1).T
    weights = areas.sum(dim=1)
    shares = areas / weights.clamp(min=torch.finfo(torch.float32).tiny)[:, None]
    return shares.numpy(), weights.numpy()


def resize_area(maps_BCHW: Tensor, grid: tuple[int, int]) -> Tensor:
    """Resize maps [B, C, H, W] to `grid` (rows, columns): the mean over finer cells, bilinear between coarser ones."""
    rows, columns = maps_BCHW.shape[-2:]
    finer = min(rows, grid[0]), min(columns, grid[1])
    if finer != (rows, columns):
        maps_BCHW = F.adaptive_avg_pool2d(maps_BCHW, finer)
    if finer != grid:
        maps_BCHW = F.interpolate(maps_BCHW, size=grid, mode="bilinear", align_corners=False)
    return maps_BCHW
