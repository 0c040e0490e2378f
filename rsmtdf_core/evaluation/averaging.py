"""Logits averaged over sizes and mirrored copies of a scene, each predicted whole or in windows.

What is averaged are class probabilities, as the field does (mmsegmentation and the sliding window of
UniMatch): a copy that is sure counts for more than one that is not, whatever the scale of its logits.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from rsmtdf_core.evaluation.inference import nearest_multiple, predict_logits
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.student.resizing import resize_map

_AXES = {"horizontal": (-1,), "vertical": (-2,)}


@torch.inference_mode()
def averaged_logits(
    model: Callable[[Tensor], Tensor], image: Tensor, settings: InferenceSettings, multiple: int
) -> Tensor:
    """The logits of one scene, at the scene's own size, as `predict_logits` gives them.

    Where there is more than one copy of the scene they are the logarithms of the mean probabilities, so that their
    softmax is that mean. A scale other than 1 resizes the scene to the nearest multiple of `multiple`.

    Args:
        model: maps normalised images float [B, 3, h, w] to logits [B, C, h, w].
        image: the normalised scene, float [3, H, W].
        settings: the sizes and flips, and how each copy passes through the model.
        multiple: the model takes sides that are multiples of this many px.

    Returns:
        float32 [C, H, W] on the CPU.
    """
    if settings.scales == (1.0,) and not settings.flips:
        return predict_logits(model, image, settings, multiple)
    size = (image.shape[-2], image.shape[-1])
    mirrored: list[tuple[int, ...]] = [(), *(_AXES[flip] for flip in settings.flips)]
    total = torch.zeros(())
    for scale in settings.scales:
        resized = _resized(image, _scaled(size, scale, multiple))
        for axes in mirrored:
            logits = predict_logits(model, resized.flip(axes), settings, multiple).flip(axes)
            total = total + _resized(logits, size).softmax(dim=0)
    mean = total / (len(settings.scales) * len(mirrored))
    # A probability that underflowed to 0 has no finite logarithm.
    return mean.clamp_min(torch.finfo(mean.dtype).tiny).log()


def _scaled(size: tuple[int, int], scale: float, multiple: int) -> tuple[int, int]:
    if scale == 1.0:
        return size
    height, width = (nearest_multiple(round(scale * length), multiple) for length in size)
    return height, width


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return resize_map(maps[None], size)[0]
