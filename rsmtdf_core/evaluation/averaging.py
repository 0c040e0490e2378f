"""Logits averaged over sizes and mirrored copies of what is predicted: a scene, or the windows of a raster.

What is averaged are class probabilities, as the field does (mmsegmentation and the sliding window of
UniMatch): a copy that is sure counts for more than one that is not, whatever the scale of its logits.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from rsmtdf_core.evaluation.inference import nearest_multiple, predict_logits
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.student.resizing import resize_map

Network = Callable[[Tensor], Tensor]

_AXES = {"horizontal": (-1,), "vertical": (-2,)}


def scene_logits(
    model: Network, image: Tensor, settings: InferenceSettings, multiple: int
) -> Tensor:
    """The logits of one scene: those of `predict_logits`, averaged over resized and mirrored copies of the scene.

    Args:
        model: maps normalised images float [B, bands, h, w] to logits [B, C, h, w].
        image: the normalised scene, float [bands, H, W].
        settings: the sizes and flips, and how each copy passes through the model.
        multiple: the model takes sides that are multiples of this many px.

    Returns:
        float32 [C, H, W] on the CPU.
    """

    def predict(copies: Tensor) -> Tensor:
        return predict_logits(model, copies[0], settings, multiple)[None]

    return averaged_logits(predict, image[None], settings, multiple)[0]


@torch.inference_mode()
def averaged_logits(
    model: Network, images: Tensor, settings: InferenceSettings, multiple: int
) -> Tensor:
    """The logits of images at their own size, averaged over their resized and mirrored copies.

    Where there is more than one copy they are the logarithms of the mean probabilities, so that their softmax is that
    mean. A scale other than 1 resizes to the nearest multiple of `multiple`.

    Args:
        model: maps a copy of all images, float [B, bands, h, w], to logits [B, C, h, w].
        images: float [B, bands, H, W].
        settings: the sizes and flips.
        multiple: sides of resized copies are multiples of this many px.

    Returns:
        [B, C, H, W], where the model left them.
    """
    if settings.scales == (1.0,) and not settings.flips:
        return model(images)
    size = (images.shape[-2], images.shape[-1])
    mirrored: list[tuple[int, ...]] = [(), *(_AXES[flip] for flip in settings.flips)]
    total = torch.zeros(())
    for scale in settings.scales:
        resized = resize_map(images, _scaled(size, scale, multiple))
        for axes in mirrored:
            logits = model(resized.flip(axes)).float().flip(axes)
            total = total + resize_map(logits, size).softmax(dim=1)
    mean = total / (len(settings.scales) * len(mirrored))
    # A probability that underflowed to 0 has no finite logarithm.
    return mean.clamp_min(torch.finfo(mean.dtype).tiny).log()


def _scaled(size: tuple[int, int], scale: float, multiple: int) -> tuple[int, int]:
    if scale == 1.0:
        return size
    height, width = (nearest_multiple(round(scale * length), multiple) for length in size)
    return height, width
