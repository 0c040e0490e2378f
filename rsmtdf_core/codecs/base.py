"""The interface of codecs, which convert the tokens of a view to a record and back."""

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
"""Tokens of one view [H, W, D] or of several [n, H, W, D], floats; uint8 for pixels."""

Declared = dict[str, Any]
"""A codec's name, format number and settings as JSON; part of a store's address."""

Parameters = Mapping[str, npt.NDArray[Any]]
"""Arrays that a codec fits to a first sample of tokens; kept with the store."""


class Codec(Protocol):
    """The codec of one store, created by `CodecClass(declared, record_shape, parameters)`."""

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
        """Size of every record in bytes; None for compressed records, whose sizes differ."""
        ...

    @property
    def typical_bytes(self) -> int:
        """Typical size of a record in bytes."""
        ...

    @property
    def filters(self) -> list[dict[str, Any]]:
        """Zarr v3 codecs between `bytes` and `crc32c`."""
        ...

    def encode(self, tokens: Tokens) -> Packed:
        """Pack tokens [H, W, D].

        Raises:
            StoreError: If they cannot be stored faithfully.
        """
        ...

    def unpack(self, packed: Packed, out: npt.NDArray[Any]) -> None:
        """Write a record's numbers into `out` [*stored_shape]; thread-safe.

        Raises:
            StoreDamagedError: If the bytes are not a record.
        """
        ...

    def decode(self, batch: "Tensor", device: "torch.device | str") -> "Tensor":
        """Decode stored numbers [B, *stored_shape] to tokens, float32 [B, H, W, D] on `device`."""
        ...


class CodecClass(Protocol):
    """The code of a codec. Its settings and facts are in its row of `kinds.CODECS`."""

    @staticmethod
    def fit(declared: Declared, sample: Tokens) -> Parameters:
        """Fit the parameters of a store to a sample of tokens [n, H, W, D]."""
        ...

    def __call__(self, declared: Declared, record_shape: Shape, parameters: Parameters) -> Codec:
        """Create the codec of a store."""
        ...


class PlainCodec:
    """Base class of codecs with uncompressed records of equal size and without parameters."""

    dtype: np.dtype[Any]
    stored_shape: tuple[int, ...]

    def __init__(self, declared: Declared, record_shape: Shape, parameters: Parameters) -> None:
        del declared, parameters
        self.stored_shape = record_shape

    @staticmethod
    def fit(declared: Declared, sample: Tokens) -> Parameters:
        """Return no parameters."""
        del declared, sample
        return {}

    @property
    def record_bytes(self) -> int:
        """Size of the numbers in bytes."""
        return int(np.prod(self.stored_shape)) * self.dtype.itemsize

    @property
    def typical_bytes(self) -> int:
        """Size of every record in bytes."""
        return self.record_bytes

    @property
    def filters(self) -> list[dict[str, Any]]:
        """No filters, so that records can be memory-mapped."""
        return []

    def unpack(self, packed: Packed, out: npt.NDArray[Any]) -> None:
        """Copy the numbers of a record."""
        if packed.nbytes != self.record_bytes:
            raise StoreDamagedError(
                f"a record has {packed.nbytes} bytes, expected {self.record_bytes}"
            )
        np.copyto(out, packed.view(self.dtype).reshape(self.stored_shape))
