"""How tokens become bytes. A new codec is one class here and one line in `CODECS`.

A codec's stored array is what every other Zarr client sees, so its bytes are plain little-endian
numbers.
"""

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import ConfigError, StoreError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Packed = npt.NDArray[np.uint8]
Shape = tuple[int, int, int]


class Codec(Protocol):
    """Turns one view's tokens into a record and back."""

    @property
    def name(self) -> str:
        """The codec's name in configs and folder names."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored numbers, little-endian."""
        ...

    def encode(self, tokens: npt.NDArray[np.floating[Any]]) -> Packed:
        """Pack tokens [H, W, D].

        Raises:
            StoreError: where a token cannot be stored faithfully.
        """
        ...

    def record_bytes(self, shape: Shape) -> int:
        """Bytes of one record of tokens [H, W, D]."""
        ...

    def view(self, packed: Packed, shape: Shape) -> npt.NDArray[Any]:
        """The stored numbers [H, W, D] of a record, without a copy."""
        ...

    def decode(self, batch: "Tensor", device: "torch.device | str") -> "Tensor":
        """Tokens float32 [B, H, W, D] on `device` from stored numbers of the same shape."""
        ...


class Fp16:
    """Half precision as it is: on fp16 features lossless compression saves no more than 1.3 %."""

    name = "fp16"
    dtype = np.dtype("<f2")

    def encode(self, tokens: npt.NDArray[np.floating[Any]]) -> Packed:
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

    def record_bytes(self, shape: Shape) -> int:
        """Two bytes a number."""
        height, width, channels = shape
        return height * width * channels * self.dtype.itemsize

    def view(self, packed: Packed, shape: Shape) -> npt.NDArray[Any]:
        """The record as float16 [H, W, D]."""
        return packed.view(self.dtype).reshape(shape)

    def decode(self, batch: "Tensor", device: "torch.device | str") -> "Tensor":
        """Move first, then widen: half the bytes cross to the device."""
        return batch.to(device).float()


CODECS: dict[str, Codec] = {codec.name: codec for codec in (Fp16(),)}


def get_codec(name: str) -> Codec:
    """The codec of that name.

    Raises:
        ConfigError: where there is none.
    """
    if name not in CODECS:
        raise ConfigError(f"there is no codec {name!r}", remedy=f"use one of: {', '.join(CODECS)}")
    return CODECS[name]
