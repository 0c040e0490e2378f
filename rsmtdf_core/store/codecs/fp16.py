"""Half precision as it is: on fp16 features lossless compression saves no more than 1.3 %."""

from typing import TYPE_CHECKING, Any

import numpy as np

from rsmtdf_core.errors import StoreError
from rsmtdf_core.store.codecs.base import (
    Packed,
    PlainCodec,
    Tokens,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Fp16(PlainCodec):
    """Tokens rounded to half precision [H, W, D]: the reference."""

    label = "fp16"
    dtype: np.dtype[Any] = np.dtype("<f2")

    def encode(self, tokens: Tokens) -> Packed:
        """Round to half precision; refuses what is not finite before or after."""
        with np.errstate(over="ignore"):
            half = np.ascontiguousarray(tokens, self.dtype)
        # Infinities and NaNs are the largest bit patterns of either sign: two maxima over integers
        # find them without a temporary array.
        if half.view("<i2").max() >= 0x7C00 or half.view("<u2").max() >= 0xFC00:
            if np.isfinite(tokens).all():
                largest = float(np.abs(tokens).max())
                raise StoreError(f"a token of {largest:.6g} is beyond half precision (65504)")
            raise StoreError("a token is not a finite number")
        return half.reshape(-1).view(np.uint8)

    def decode(self, batch: "Tensor", device: "torch.device | str") -> "Tensor":
        """Move first, then widen: half the bytes cross to the device."""
        return batch.to(device).float()
