"""What a codec is: it turns one view's tokens into a record and back."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import StoreDamagedError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Packed = npt.NDArray[np.uint8]
"""The stored bytes of one record, one-dimensional."""

Shape = tuple[int, int, int]
"""Rows, columns and channels of one view's tokens."""

Tokens = npt.NDArray[Any]
"""Tokens of one view [H, W, D] or of several [n, H, W, D], floats; uint8 where they are pixels."""

Declared = dict[str, Any]
"""A codec's name, format number and settings as JSON: what addresses a store beside the teacher."""

Parameters = Mapping[str, npt.NDArray[Any]]
"""What a codec fitted on a first sample of tokens; kept with the store."""


class Codec(Protocol):
    """Bound to one store: `CodecClass(declared, record_shape, parameters)`."""

    @property
    def label(self) -> str:
        """The codec and its settings as part of a folder's name."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored numbers, little-endian."""
        ...

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape of one record's numbers."""
        ...

    @property
    def record_bytes(self) -> int | None:
        """Size of every record; None where records are compressed and differ."""
        ...

    @property
    def typical_bytes(self) -> int:
        """What to expect of a record's size."""
        ...

    @property
    def filters(self) -> list[dict[str, Any]]:
        """Zarr v3 codecs between `bytes` and `crc32c`."""
        ...

    def encode(self, tokens: Tokens) -> Packed:
        """Pack tokens [H, W, D].

        Raises:
            StoreError: where they cannot be stored faithfully.
        """
        ...

    def unpack(self, packed: Packed, out: npt.NDArray[Any]) -> None:
        """Write a record's numbers into `out` [*stored_shape]; several threads may do so at once.

        Raises:
            StoreDamagedError: where the bytes are not a record.
        """
        ...

    def decode(self, batch: "Tensor", device: "torch.device | str") -> "Tensor":
        """Tokens, float32 [B, H, W, D] on `device`, from stored numbers [B, *stored_shape]."""
        ...


class CodecClass(Protocol):
    """The code of a codec; its row in `kinds.CODECS` states its settings and facts."""

    @staticmethod
    def fit(declared: Declared, sample: Tokens) -> Parameters:
        """What to keep with the store, from a sample of tokens [n, H, W, D]."""
        ...

    def __call__(self, declared: Declared, record_shape: Shape, parameters: Parameters) -> Codec:
        """The codec of one store."""
        ...


class PlainCodec:
    """Base of codecs whose records are the numbers themselves, all of one size; nothing is fitted."""

    dtype: np.dtype[Any]
    stored_shape: tuple[int, ...]

    def __init__(self, declared: Declared, record_shape: Shape, parameters: Parameters) -> None:
        del declared, parameters
        self.stored_shape = record_shape

    @staticmethod
    def fit(declared: Declared, sample: Tokens) -> Parameters:
        """There is nothing to fit."""
        del declared, sample
        return {}

    @property
    def record_bytes(self) -> int:
        """Bytes of the numbers."""
        return int(np.prod(self.stored_shape)) * self.dtype.itemsize

    @property
    def typical_bytes(self) -> int:
        """Every record has the same size."""
        return self.record_bytes

    @property
    def filters(self) -> list[dict[str, Any]]:
        """Nothing between the numbers and their checksum, so that records can be mapped."""
        return []

    def unpack(self, packed: Packed, out: npt.NDArray[Any]) -> None:
        """Copy."""
        if packed.nbytes != self.record_bytes:
            raise StoreDamagedError(
                f"a record has {packed.nbytes} bytes, expected {self.record_bytes}"
            )
        np.copyto(out, packed.view(self.dtype).reshape(self.stored_shape))
