"""Checks that weights contain neither NaN nor infinity."""

from collections.abc import Mapping

import torch
from torch import Tensor


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the floating-point tensors that contain NaN or infinity."""
    names = [name for name, tensor in tensors.items() if tensor.is_floating_point()]
    if not names:
        return []
    finite = torch.stack([torch.isfinite(tensors[name]).all() for name in names])
    return [name for name, is_finite in zip(names, finite.tolist(), strict=True) if not is_finite]
