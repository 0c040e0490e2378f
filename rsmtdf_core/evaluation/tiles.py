"""Predicts a raster of any size in overlapping windows, and blends their logits block by block.

A pixel is yielded as soon as its last window is predicted. Only sums over the rows that the next row of windows
overlaps are kept in memory: 4 C v W bytes for C classes, a raster W px wide and an overlap of v px, whatever the height
of the raster.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from rsmtdf_core.evaluation.settings import Blend, InferenceSettings

Read = Callable[[int, int, int, int], Tensor]
"""Top, left, height and width of a part, px, to its values, float [bands, height, width]."""


def window_starts(length: int, window: int, overlap: float) -> list[int]:
    """Return the start positions of windows along one side, px, with distances that differ by at most 1 px.

    The last window ends at the border. Neighboring windows overlap by at least the share `overlap`. A side no longer
    than the window has a single start, 0, and the scene is padded.
    """
    last = max(0, length - window)
    steps = -(-last // max(1, int(window * (1 - overlap))))
    return [0, *(last * step // steps for step in range(1, steps + 1))]


def blend_weights(window: int, blend: Blend) -> Tensor:
    """Return the weight of each pixel along one side of a window, float32 [window] in (0, 1].

    `hann` is sin^2(pi (k + 1/2) / window). Sampled at the pixel centers it never reaches 0, so a pixel
    covered by a single window takes that window's logits.
    """
    if blend == "uniform":
        return torch.ones(window)
    centers = (torch.arange(window, dtype=torch.float64) + 0.5) / window
    return torch.sin(torch.pi * centers).square().float()


@torch.inference_mode()
def blended_blocks(
    model: Callable[[Tensor], Tensor],
    read: Read,
    size: tuple[int, int],
    settings: InferenceSettings,
) -> Iterator[tuple[int, int, Tensor]]:
    """Yield the model's logits over a raster in blocks, row by row from the top and from left to right.

    The logits of a pixel are the mean over all windows that cover it, weighted by `blend_weights`. If a
    model predicts the same logits for a pixel in every window, the mean differs from them by rounding
    only: with n windows over a pixel the relative error is at most (2 n + 8) 2^-24, the bound for the
    products, sums and the quotient of positive weights.

    Args:
        model: maps windows [B, bands, window, window] to logits [B, C, window, window].
        read: reads a part of the raster; called row by row of windows, from left to right.
        size: height and width of the raster, px.
        settings: window, overlap, blend and batch. A raster smaller than a window is padded with 0.

    Yields:
        Top and left of a block in px, and its logits, float32 [C, rows, columns] on the CPU. The blocks cover the
        raster without overlap; blocks of the same row of windows have the same rows.
    """
    (height, width), window = size, settings.window
    tops, lefts = (window_starts(side, window, settings.overlap) for side in size)
    weights = blend_weights(window, settings.blend)
    # Windows form a grid and their weights are products, so the sums of the weights are products too.
    weights_2d = weights[:, None] * weights
    row_sums, column_sums = (
        _summed(weights, starts, max(side, window))
        for starts, side in ((tops, height), (lefts, width))
    )
    # A pixel is finished once the last window that covers it has been added. Windows come row by row, so a window
    # finishes the pixels above the next row's top and left of the next window's left. The sums of its other pixels are
    # kept for later windows.
    #
    #            left         right
    #       top   +------------+-------+
    #             |  finished  |       |
    #     below   +------------+ rest  |    rest: for the next window of this row
    #             |    kept    |       |    kept: for the next row of windows
    #             +------------+-------+
    #
    # The distances of starts differ by up to 1 px, so the height of `kept` is that of the largest overlap. The number
    # of classes C is known from the logits of the first window.
    most_kept = window - min(after - top for top, after in pairwise([*tops, tops[-1] + window]))
    kept = torch.empty(0)  # [C, most_kept, W]
    touched = 0  # rows of `kept` with sums of the row of windows above; 0 for the first row
    for top, below in pairwise([*tops, tops[-1] + window]):
        rest = torch.empty(0)  # [C, window, columns]; empty before the first window of a row
        row = _row_of_windows(model, read, top, lefts, size, settings)
        for (left, sums), right in zip(row, [*lefts[1:], lefts[-1] + window], strict=True):
            if not len(kept):
                kept = torch.zeros(len(sums), most_kept, max(width, window))
            sums.mul_(weights_2d)
            if len(rest):
                sums[..., : rest.shape[-1]] += rest
            done, rest = sums.tensor_split([right - left], dim=-1)
            # In this order: the columns of `kept` take this row's sums as soon as the upper row's are added.
            done[:, :touched] += kept[:, :touched, left:right]
            kept[:, : window - (below - top), left:right] = done[:, below - top :]
            finished = done[:, : below - top]
            # Weights sum up to less near the border, where fewer windows meet, so each pixel has its own divisor.
            finished /= row_sums[top:below, None] * column_sums[left:right]
            # A raster smaller than a window was padded: the padding is cut off.
            yield top, left, finished[:, : height - top, : width - left]
        touched = window - (below - top)


def _summed(weights: Tensor, starts: list[int], length: int) -> Tensor:
    """Sum the weights of all windows at each pixel of one side, float32 [length]."""
    total = torch.zeros(length, dtype=torch.float64)
    for start in starts:
        total[start : start + len(weights)] += weights
    return total.float()


def _row_of_windows(
    model: Callable[[Tensor], Tensor],
    read: Read,
    top: int,
    lefts: list[int],
    size: tuple[int, int],
    settings: InferenceSettings,
) -> Iterator[tuple[int, Tensor]]:
    """Yield the left border and the logits, float32 [C, window, window], of each window at `top`."""
    rows, columns = min(settings.window, size[0]), min(settings.window, size[1])
    padding = (0, settings.window - columns, 0, settings.window - rows)
    for start in range(0, len(lefts), settings.batch):
        batch = lefts[start : start + settings.batch]
        windows = torch.stack([F.pad(read(top, left, rows, columns), padding) for left in batch])
        yield from zip(batch, model(windows).float().cpu().clone(), strict=True)
