"""Predicts logits for a scene of any size with a model that only accepts multiples of its patch size.

Both modes score every pixel of the scene. `whole` follows the published method; `slide` keeps the
resolution of scenes much larger than a crop.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.evaluation.tiles import blended_blocks


@torch.inference_mode()
def predict_logits(
    model: Callable[[Tensor], Tensor], image: Tensor, settings: InferenceSettings, multiple: int
) -> Tensor:
    """Predict the logits of a scene at the size of the scene.

    Args:
        model: maps normalized images float [B, bands, h, w] to logits [B, C, h, w]. It moves its
            input to its device, so that the device holds one batch of windows at a time.
        image: the normalized scene, float [bands, H, W].
        settings: mode, window, overlap, blend and batch.
        multiple: the model accepts sides that are multiples of this number of px (the patch size of a ViT).

    Returns:
        float32 [C, H, W] on the CPU.

    Raises:
        ConfigError: If the sliding window is not a multiple of `multiple`.
    """
    assert image.ndim == 3, f"expected [bands, H, W], found {tuple(image.shape)}"
    if settings.mode == "whole":
        return _whole(model, image, multiple)
    require_fitting_window(settings, multiple)
    return _slide(model, image, settings)


def require_fitting_window(settings: InferenceSettings, multiple: int) -> None:
    """Check that the sliding window is a multiple of `multiple` px.

    Raises:
        ConfigError: If it is not; the error suggests the nearest multiple.
    """
    if settings.window % multiple:
        nearest = nearest_multiple(settings.window, multiple)
        raise ConfigError(
            f"the sliding window must be a multiple of the model's patch size of {multiple} px, "
            f"found {settings.window}",
            where="inference.window",
            remedy=f"set inference.window to {nearest}",
        )


def nearest_multiple(length: int, multiple: int) -> int:
    """Return the multiple nearest to `length`, at least `multiple`. Halves round up, as in the official code."""
    return max(1, int(length / multiple + 0.5)) * multiple


def _whole(model: Callable[[Tensor], Tensor], image: Tensor, multiple: int) -> Tensor:
    height, width = image.shape[-2:]
    size = nearest_multiple(height, multiple), nearest_multiple(width, multiple)
    logits = model(_resized(image[None], size))
    return _resized(logits.float(), (height, width))[0].cpu()


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps, size, mode="bilinear", align_corners=True)


def _slide(model: Callable[[Tensor], Tensor], image: Tensor, settings: InferenceSettings) -> Tensor:
    def read(top: int, left: int, height: int, width: int) -> Tensor:
        return image[:, top : top + height, left : left + width]

    size = image.shape[-2], image.shape[-1]
    whole = torch.empty(0)
    for top, left, logits in blended_blocks(model, read, size, settings):
        if not len(whole):
            whole = torch.empty(len(logits), *size)
        whole[:, top : top + logits.shape[1], left : left + logits.shape[2]] = logits
    return whole
