"""Half precision without compression, because lossless compression saves at most 1.3 % on fp16 features."""

from typing import TYPE_CHECKING, Any

import numpy as np

from rsmtdf_core.codecs.base import (
    Packed,
    PlainCodec,
    Tokens,
)
from rsmtdf_core.errors import StoreError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Fp16(PlainCodec):
    """Tokens rounded to half precision [H, W, D]; the reference for other codecs."""

    label = "fp16"
    dtype: np.dtype[Any] = np.dtype("<f2")

    def encode(self, tokens: Tokens) -> Packed:
        """Round tokens to half precision.

        Raises:
            StoreError: If a token is not finite, before or after rounding.
        """
        with np.errstate(over="ignore"):
            half = np.ascontiguousarray(tokens, self.dtype)
        # Infinities and NaNs are the largest bit patterns of either sign. Two maxima over integers
        # detect them without a temporary array.
        if half.view("<i2").max() >= 0x7C00 or half.view("<u2").max() >= 0xFC00:
            if np.isfinite(tokens).all():
                largest = float(np.abs(tokens).max())
                raise StoreError(f"a token of {largest:.6g} is beyond half precision (65504)")
            raise StoreError("a token is not a finite number")
        return half.reshape(-1).view(np.uint8)

    def decode(self, batch: "Tensor", device: "torch.device | str") -> "Tensor":
        """Transfer half precision to the device, then convert, which halves the transfer."""
        return batch.to(device).float()
