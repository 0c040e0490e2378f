"""Averages predictions over resized and mirrored copies of a scene, or of the windows of a raster.

The average is over class probabilities, as in mmsegmentation and the sliding window of UniMatch. A confident copy
therefore counts more than an uncertain copy, whatever the scale of their logits.
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
    """Predict the logits of a scene, averaged over its resized and mirrored copies.

    Args:
        model: maps normalized images float [B, bands, h, w] to logits [B, C, h, w].
        image: the normalized scene, float [bands, H, W].
        settings: scales and flips, and how to predict each copy; see `predict_logits`.
        multiple: the model accepts sides that are multiples of this number of px.

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
    """Predict logits at the size of the images, averaged over resized and mirrored copies.

    With more than one copy, the results are the logarithms of the mean probabilities, and their softmax is that mean.
    A scale other than 1 resizes to the nearest multiple of `multiple`.

    Args:
        model: maps a copy of all images, float [B, bands, h, w], to logits [B, C, h, w].
        images: float [B, bands, H, W].
        settings: scales and flips.
        multiple: sides of resized copies are multiples of this number of px.

    Returns:
        [B, C, H, W], on the device of the model's output.
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
