"""The small tables of a group: `.npy` files that numpy can read, with a checksum after the rows."""

import io
import os
import tokenize
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.files import atomic_file, open_regular
from rsmtdf_core.store.shards import damage

# Rows are added in segments that start at a multiple of this, so that no shard ever holds old and
# new views. Also the most records of a shard: records below 512 KiB give shards below 256 MiB.
SEGMENT_ROWS = 512
_CRC_BYTES = 4


def table_bytes(table: npt.NDArray[Any]) -> bytes:
    """Return the bytes that `write_table` writes."""
    file = io.BytesIO()
    np.lib.format.write_array(file, np.ascontiguousarray(table), allow_pickle=False)
    data = file.getvalue()
    return data + int(google_crc32c.value(data)).to_bytes(_CRC_BYTES, "little")


def write_table(path: Path, table: npt.NDArray[Any]) -> None:
    """Write a one-dimensional table atomically; the crc32c of the file follows its last row."""
    with atomic_file(path) as file:
        file.write(table_bytes(table))


def read_table(path: Path, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Map the table at `path` read-only, without a copy.

    Raises:
        StoreDamagedError: If it is damaged.
        OSError: If the system refuses to read it.
    """
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            whole = np.memmap(file, np.uint8, "r")
    except FileNotFoundError:
        raise table_damage(path, "the file is missing") from None
    except ValueError as wrong:  # or it is empty
        raise table_damage(path, f"the file cannot be read: {wrong}") from None
    end = max(0, len(whole) - _CRC_BYTES)
    # The checksum comes first: the rest trusts the header.
    if google_crc32c.value(whole[:end]) != int.from_bytes(whole[end:].tobytes(), "little"):
        raise table_damage(path, "the file does not match its checksum")
    try:
        begin, shape, stored_dtype = _header(whole)
    except _UNREADABLE as wrong:
        raise table_damage(path, f"the file cannot be read: {wrong}") from None
    rows = (end - begin) // dtype.itemsize
    if stored_dtype != dtype or shape != (rows,) or begin + rows * dtype.itemsize != end:
        raise table_damage(path, "the file is not the expected table")
    if rows % SEGMENT_ROWS:
        raise table_damage(path, f"{rows} rows are not whole segments of {SEGMENT_ROWS}")
    return whole[begin:end].view(dtype)


# Exceptions that numpy raises for malformed headers.
_UNREADABLE = (
    ValueError, TypeError, EOFError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError
)  # fmt: skip
_HEADER_BYTES = 2**14


def _header(whole: npt.NDArray[np.uint8]) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
    """Return the offset of the rows, and the shape and type in the header."""
    file = io.BytesIO(whole[:_HEADER_BYTES].tobytes())
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"a header of version {version}")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    return file.tell(), shape, dtype


def table_damage(path: Path, problem: str) -> StoreDamagedError:
    """Return the error for a damaged table."""
    return damage(path, f"{path.name} is damaged: {problem}")
