"""Logits for a scene of any size, from a model that takes only multiples of its patch.

Both modes score every pixel of the scene: `whole` is what the published method does, `slide` keeps
the resolution of scenes much larger than a crop.
"""

from collections.abc import Callable
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.evaluation.settings import InferenceSettings


@torch.inference_mode()
def predict_logits(
    model: Callable[[Tensor], Tensor], image: Tensor, settings: InferenceSettings, multiple: int
) -> Tensor:
    """The logits of one scene, at the scene's own size.

    Args:
        model: maps normalised images float [B, 3, h, w] to logits [B, C, h, w]. It moves its input
            to its device itself, so that no more than one batch of windows is there at a time.
        image: the normalised scene, float [3, H, W].
        settings: whole or slide, see `InferenceSettings`.
        multiple: the model takes sides that are multiples of this many px (the patch of a ViT).

    Returns:
        float32 [C, H, W] on the CPU.

    Raises:
        ConfigError: if the sliding window is not a multiple of `multiple`.
    """
    assert image.ndim == 3, f"expected [3, H, W], found {tuple(image.shape)}"
    if settings.mode == "whole":
        return _whole(model, image, multiple)
    if settings.window % multiple:
        nearest = nearest_multiple(settings.window, multiple)
        raise ConfigError(
            f"the sliding window must be a multiple of the model's patch of {multiple} px, "
            f"found {settings.window}",
            where="inference.window",
            remedy=f"set inference.window to {nearest}",
        )
    return _slide(model, image, settings)


def nearest_multiple(length: int, multiple: int) -> int:
    """The multiple nearest to `length`, at least one; halves go up, as in the official code."""
    return max(1, int(length / multiple + 0.5)) * multiple


def window_starts(length: int, window: int, overlap: float) -> list[int]:
    """Where windows start along one side; the last one lies flush with the border.

    A side no longer than the window has one start, 0: the scene is padded there.
    """
    stride = max(1, int(window * (1 - overlap)))
    last = max(0, length - window)
    return [*range(0, last, stride), last]


def _whole(model: Callable[[Tensor], Tensor], image: Tensor, multiple: int) -> Tensor:
    height, width = image.shape[-2:]
    size = nearest_multiple(height, multiple), nearest_multiple(width, multiple)
    logits = model(_resized(image[None], size))
    return _resized(logits.float(), (height, width))[0].cpu()


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps, size, mode="bilinear", align_corners=True)


def _slide(model: Callable[[Tensor], Tensor], image: Tensor, settings: InferenceSettings) -> Tensor:
    height, width = image.shape[-2:]
    window = settings.window
    padded = F.pad(image, (0, max(0, window - width), 0, max(0, window - height)))
    rows = window_starts(height, window, settings.overlap)
    columns = window_starts(width, window, settings.overlap)
    places = [
        (..., slice(top, top + window), slice(left, left + window))
        for top, left in product(rows, columns)
    ]
    total = None
    seen = torch.zeros(padded.shape[-2:])
    for start in range(0, len(places), settings.batch):
        batch = places[start : start + settings.batch]
        logits = model(torch.stack([padded[place] for place in batch])).float().cpu()
        if total is None:
            total = torch.zeros(logits.shape[1], *padded.shape[-2:])
        for place, window_logits in zip(batch, logits, strict=True):
            total[place] += window_logits
            seen[place] += 1
    assert total is not None, "a scene has at least one window"
    return (total / seen)[:, :height, :width]
