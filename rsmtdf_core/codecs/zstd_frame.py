"""Safe decompression of a zstd frame of known size.

If a frame does not state its size, or is followed by other frames, numcodecs allocates as much memory as the data
request. So the headers of the frame and of its blocks are checked first.
"""

import numpy as np
import numpy.typing as npt
from numcodecs.zstd import Zstd

from rsmtdf_core.codecs.base import Packed
from rsmtdf_core.errors import StoreDamagedError

LEVEL = 9

_MAGIC = b"\x28\xb5\x2f\xfd"
_SINGLE_SEGMENT = 0x20
_RESERVED_CHECKSUM_DICTIONARY = 0x0F
_RLE_BLOCK = 1
_RESERVED_BLOCK = 3
_BLOCK_HEADER = 3


def compress(numbers: npt.NDArray[np.uint8]) -> Packed:
    """Compress to one frame without a checksum, because the store adds crc32c."""
    return np.frombuffer(Zstd(LEVEL).encode(numbers), np.uint8)


def decompress(packed: Packed, out: npt.NDArray[np.uint8]) -> None:
    """Decompress a frame into `out` without allocating memory; thread-safe.

    Raises:
        StoreDamagedError: If the bytes are not one frame with a content of exactly `out.nbytes`.
    """
    frame = packed.data
    content, start = _header(frame)
    if content != out.nbytes:
        raise StoreDamagedError(
            f"a record's zstd frame states {content} bytes, expected {out.nbytes}"
        )
    if _end(frame, start) != len(frame):
        raise StoreDamagedError("a record is not one whole zstd frame")
    try:
        Zstd(LEVEL).decode(frame, out=out)
    except (RuntimeError, ValueError) as failure:
        raise StoreDamagedError(f"a record's zstd frame cannot be read: {failure}") from None


def _header(frame: memoryview) -> tuple[int | None, int]:
    """Return the stated size of the content, or None, and the offset of the first block."""
    descriptor = frame[4] if len(frame) > len(_MAGIC) else 0
    if frame[:4] != _MAGIC or descriptor & _RESERVED_CHECKSUM_DICTIONARY:
        raise StoreDamagedError("a record is not a zstd frame as this codec writes them")
    single = bool(descriptor & _SINGLE_SEGMENT)
    start = 5 if single else 6
    size_bytes = (int(single), 2, 4, 8)[descriptor >> 6]
    if not size_bytes:
        return None, start
    content = int.from_bytes(frame[start : start + size_bytes], "little")
    return content + 256 * (size_bytes == 2), start + size_bytes


def _end(frame: memoryview, start: int) -> int:
    """Return the end of the frame's last block, or -1 if a block is invalid or the bytes end early."""
    while start + _BLOCK_HEADER <= len(frame):
        header = int.from_bytes(frame[start : start + _BLOCK_HEADER], "little")
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        if kind == _RESERVED_BLOCK:
            return -1
        start += _BLOCK_HEADER + (1 if kind == _RLE_BLOCK else size)
        if last:
            return start
    return -1
