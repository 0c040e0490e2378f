"""Pixels as they are."""

from typing import TYPE_CHECKING, Any

import numpy as np

from rsmtdf_core.store.codecs.base import (
    Packed,
    PlainCodec,
    Tokens,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Uint8(PlainCodec):
    """Bytes [H, W, D] that mean what they say: rendered views and masks, not features."""

    label = "uint8"
    dtype: np.dtype[Any] = np.dtype("u1")

    def encode(self, tokens: Tokens) -> Packed:
        """The bytes themselves."""
        assert tokens.dtype == np.uint8, "pixels are uint8"
        assert tokens.shape == self.stored_shape, tokens.shape
        return np.ascontiguousarray(tokens).reshape(-1)

    def decode(self, batch: "Tensor", device: "torch.device | str") -> "Tensor":
        """The pixels, uint8 [B, H, W, D] on `device`: who uses them widens them."""
        return batch.to(device)
