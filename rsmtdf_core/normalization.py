"""Convert uint8 pixels to the input of a network, for the student and the teachers."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rsmtdf_core.settings import IMAGENET_MEAN, IMAGENET_STD


def normalise(
    images: Tensor, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> Tensor:
    """Scale uint8 images [B, C, H, W] to 0..1 and standardise their bands by C means and deviations; float32."""
    scale = 255 * torch.tensor(std, device=images.device).view(1, -1, 1, 1)
    shift = 255 * torch.tensor(mean, device=images.device).view(1, -1, 1, 1)
    return (images.float() - shift) / scale
