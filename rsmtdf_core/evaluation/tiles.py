"""Windows over a raster of any size, and their logits blended into one map, a band of rows at a time.

Only the rows that later windows still touch are kept: 4 C w W bytes for C classes, windows of w px
and a raster W px wide, however high it is.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from rsmtdf_core.evaluation.settings import Blend, InferenceSettings

Read = Callable[
    [int, int, int, int], Tensor
]  # top, left, height, width -> float [3, height, width]


def window_starts(length: int, window: int, overlap: float) -> list[int]:
    """Where windows start along one side; the last one lies flush with the border.

    A side no longer than the window has one start, 0: the scene is padded there.
    """
    stride = max(1, int(window * (1 - overlap)))
    last = max(0, length - window)
    return [*range(0, last, stride), last]


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
def blended_rows(
    model: Callable[[Tensor], Tensor], read: Read, size: tuple[int, int], how: InferenceSettings
) -> Iterator[tuple[int, Tensor]]:
    """The model's logits over a raster, from the top downward.

    Each pixel is the mean of the logits that its windows give it, weighted by `blend_weights`. Of a
    model that gives the same logits for a pixel in every window this changes nothing but rounding:
    with n windows over a pixel the relative error is at most (2 n + 8) 2^-24, as there are no more
    than that many products, sums and one quotient of positive weights.

    Args:
        model: maps windows [B, 3, window, window] to logits [B, C, window, window].
        read: gives a part of the raster; it is asked for row after row of windows, left to right.
        size: height and width of the raster, px.
        how: window, overlap, blend and batch; a raster smaller than a window is padded with 0.

    Yields:
        The first of the finished rows, and their logits, float32 [C, rows, width] on the CPU. They
        are valid until the next are asked for.
    """
    (height, width), window = size, how.window
    tops, lefts = (window_starts(side, window, how.overlap) for side in size)
    weights = blend_weights(window, how.blend)
    row_sums, column_sums = (
        _summed(weights, starts, max(side, window))
        for starts, side in ((tops, height), (lefts, width))
    )
    # Windows lie on a grid and their weights are products, so the weights' sums are products too.
    weights_2d = weights[:, None] * weights
    band = torch.empty(0)
    for top, below in pairwise([*tops, height]):
        for left, logits in _row_of_windows(model, read, top, lefts, size, how):
            if not len(band):
                band = torch.zeros(len(logits), window, max(width, window))
            band[..., left : left + window] += logits.mul_(weights_2d)
        done = below - top
        finished = band[:, :done]
        finished /= row_sums[top:below, None] * column_sums
        yield top, finished[..., :width]
        for one in band:  # class by class, as the copy needs as much again
            one[:-done] = one[done:].clone()
            one[-done:] = 0


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
