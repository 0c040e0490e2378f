"""Uncompressed pixels."""

from typing import TYPE_CHECKING, Any

import numpy as np

from rsmtdf_core.codecs.base import (
    Packed,
    PlainCodec,
    Tokens,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Uint8(PlainCodec):
    """Uncompressed bytes [H, W, D] of rendered views and masks."""

    label = "uint8"
    dtype: np.dtype[Any] = np.dtype("u1")

    def encode(self, tokens: Tokens) -> Packed:
        """Return the bytes unchanged."""
        assert tokens.dtype == np.uint8, "pixels are uint8"
        assert tokens.shape == self.stored_shape, tokens.shape
        return np.ascontiguousarray(tokens).reshape(-1)

    def decode(self, batch: "Tensor", device: "torch.device | str") -> "Tensor":
        """Transfer the pixels to `device`; they remain uint8 [B, H, W, D]."""
        return batch.to(device)
