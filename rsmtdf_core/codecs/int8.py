"""Eight bits per number, half the size of fp16, with a scale for each token."""

from typing import TYPE_CHECKING, Any

import numpy as np

from rsmtdf_core.codecs.base import (
    Declared,
    Packed,
    Parameters,
    PlainCodec,
    Shape,
    Tokens,
)
from rsmtdf_core.errors import StoreError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_LEVELS = 127
_SCALE_BYTES = 2
# Below this magnitude, the smallest scale in half precision leaves a token fewer than 64 levels.
_SMALLEST = 63.5 * 2.0**-24
_REMEDY = "set the teacher's codec to fp16"


class Int8(PlainCodec):
    """Tokens as int8 [H, W, D + 2]; value = number * scale.

    A token's last two bytes are its scale in little-endian half precision: its largest magnitude
    divided by 127, rounded up so that no number exceeds 127. An all-zero token has scale 0.
    """

    label = "int8"
    dtype: np.dtype[Any] = np.dtype("i1")

    def __init__(self, declared: Declared, record_shape: Shape, parameters: Parameters) -> None:
        del declared, parameters
        height, width, channels = record_shape
        self._channels = channels
        self.stored_shape: tuple[int, ...] = (height, width, channels + _SCALE_BYTES)

    def encode(self, tokens: Tokens) -> Packed:
        """Round each token to 255 levels.

        Raises:
            StoreError: If a token is not finite, or its largest magnitude is above 8.3e6, or not zero and below 3.8e-6,
                which is outside the range of its scale.
        """
        assert tokens.shape == (*self.stored_shape[:2], self._channels), tokens.shape
        stored = np.empty(self.stored_shape, np.int8)
        row = np.empty(tokens.shape[1:], np.float32)
        # Process one row at a time, so that its numbers stay in the processor's cache.
        for numbers, encoded in zip(tokens, stored, strict=True):
            scale = _scales(np.maximum(numbers.max(axis=-1), -numbers.min(axis=-1)))
            encoded[:, self._channels :] = scale.view(np.int8).reshape(-1, _SCALE_BYTES)
            factor = 1 / np.where(scale, scale, 1).astype(np.float32)
            np.multiply(numbers, factor[:, None], out=row, casting="same_kind")
            np.rint(row, out=row)
            np.copyto(encoded[:, : self._channels], row, casting="unsafe")
        return stored.reshape(-1).view(np.uint8)

    def decode(self, batch: "Tensor", device: "torch.device | str") -> "Tensor":
        """Transfer int8 to the device, then convert, which halves the transfer of fp16."""
        import torch

        batch = batch.to(device)
        scale = batch[..., self._channels :].clone(memory_format=torch.contiguous_format)
        return batch[..., : self._channels].float().mul_(scale.view(torch.float16).float())


def _scales(largest: Tokens) -> Tokens:
    """Return the half-precision scales for the largest magnitudes of tokens."""
    exact = np.abs(largest, dtype=np.float64) / _LEVELS  # zero may have a sign
    with np.errstate(over="ignore"):
        scale = exact.astype("<f2")
        scale = np.where(scale < exact, np.nextafter(scale, np.float16(np.inf)), scale)
    if not np.isfinite(scale).all():
        if np.isfinite(largest).all():
            raise StoreError(
                f"a token of {largest.max():.6g} is beyond int8 with a half-precision scale"
            )
        raise StoreError("a token is not a finite number")
    lost = (largest > 0) & (largest < _SMALLEST)
    if lost.any():
        raise StoreError(
            f"a token of at most {largest[lost].max():.3g} is too small for int8 with a "
            "half-precision scale",
            remedy=_REMEDY,
        )
    return scale.astype("<f2", copy=False)
