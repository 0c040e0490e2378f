"""Windows over a raster of any size, and their logits blended into one map, a block at a time.

Each pixel is given out as soon as its last window is seen. What is kept for later windows are sums over the rows
that the next row of windows touches again: 4 C v W bytes for C classes, a raster W px wide and an overlap of
v px, however high the raster is.
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
    """Where windows start along one side, at distances that differ by no more than 1 px.

    The last one lies flush with the border. Neighbours overlap by at least the share `overlap`. A side no longer
    than the window has one start, 0: the scene is padded there.
    """
    last = max(0, length - window)
    steps = -(-last // max(1, int(window * (1 - overlap))))
    return [0, *(last * step // steps for step in range(1, steps + 1))]


def blend_weights(window: int, blend: Blend) -> Tensor:
    """How much each pixel along one side of a window counts, float32 [window], above 0 and at most 1.

    `hann` is sin^2(pi (k + 1/2) / window): taken at the pixels' centres, it never reaches 0, so a
    pixel that one window alone covers is that window's.
    """
    if blend == "uniform":
        return torch.ones(window)
    centres = (torch.arange(window, dtype=torch.float64) + 0.5) / window
    return torch.sin(torch.pi * centres).square().float()


@torch.inference_mode()
def blended_blocks(
    model: Callable[[Tensor], Tensor], read: Read, size: tuple[int, int], how: InferenceSettings
) -> Iterator[tuple[int, int, Tensor]]:
    """The model's logits over a raster, in blocks from the top downward, each row of them from left to right.

    Each pixel is the mean of the logits that its windows give it, weighted by `blend_weights`. Of a
    model that gives the same logits for a pixel in every window this changes nothing but rounding:
    with n windows over a pixel the relative error is at most (2 n + 8) 2^-24, as there are no more
    than that many products, sums and one quotient of positive weights.

    Args:
        model: maps windows [B, bands, window, window] to logits [B, C, window, window].
        read: gives a part of the raster; it is asked for row after row of windows, left to right.
        size: height and width of the raster, px.
        how: window, overlap, blend and batch; a raster smaller than a window is padded with 0.

    Yields:
        Top and left of a block, and its logits, float32 [C, rows, columns] on the CPU. Blocks do not overlap and
        cover the raster; those of one row of windows have the same rows.
    """
    (height, width), window = size, how.window
    tops, lefts = (window_starts(side, window, how.overlap) for side in size)
    weights = blend_weights(window, how.blend)
    # Windows lie on a grid and their weights are products, so the weights' sums are products too.
    weights_2d = weights[:, None] * weights
    row_sums, column_sums = (
        _summed(weights, starts, max(side, window))
        for starts, side in ((tops, height), (lefts, width))
    )
    # A pixel is finished when the last window over it was added. Windows come row after row, so a window finishes the
    # pixels above the next row's top and left of the next window's left; sums of its other pixels wait.
    #
    #            left         right
    #       top   +------------+-------+
    #             |  finished  |       |
    #     below   +------------+ rest  |    rest: for the next window of this row
    #             |    kept    |       |    kept: for the next row of windows
    #             +------------+-------+
    #
    # Starts differ by a pixel in distance, so the height of `kept` is that of the largest overlap. The first window
    # gives C, the number of classes, which the model alone knows.
    most_kept = window - min(after - top for top, after in pairwise([*tops, tops[-1] + window]))
    kept = torch.empty(0)  # [C, most_kept, W]
    touched = 0  # rows of `kept` that hold sums of the row of windows above; none above the first
    for top, below in pairwise([*tops, tops[-1] + window]):
        rest = torch.empty(0)  # [C, window, columns]; empty before the first window of a row
        row = _row_of_windows(model, read, top, lefts, size, how)
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
    """The sum of all windows' weights at each pixel of one side, float32 [length]."""
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
    how: InferenceSettings,
) -> Iterator[tuple[int, Tensor]]:
    """Left border and logits, float32 [C, window, window], of the windows at `top`."""
    rows, columns = min(how.window, size[0]), min(how.window, size[1])
    padding = (0, how.window - columns, 0, how.window - rows)
    for start in range(0, len(lefts), how.batch):
        batch = lefts[start : start + how.batch]
        windows = torch.stack([F.pad(read(top, left, rows, columns), padding) for left in batch])
        yield from zip(batch, model(windows).float().cpu().clone(), strict=True)
