"""The small tables of a group: `.npy` files that numpy reads, with a checksum behind their numbers."""

from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.files import atomic_file
from rsmtdf_core.store.shards import damage

# Rows are added in segments that start at a multiple of this, so that no shard ever holds old and
# new views. Also the most records of a shard: records below 512 KiB give shards below 256 MiB.
SEGMENT_ROWS = 512
_CRC_BYTES = 4


class _Summed:
    """A binary file that keeps the checksum of what is written."""

    def __init__(self, file: Any) -> None:  # noqa: ANN401 - whatever has `write`
        self._file = file
        self.crc = 0

    def write(self, data: Any) -> int:  # noqa: ANN401 - bytes or a buffer
        data = bytes(data)
        self.crc = google_crc32c.extend(self.crc, data)
        return int(self._file.write(data))


def write_table(path: Path, table: npt.NDArray[Any]) -> None:
    """Write a one-dimensional table atomically; the crc32c of the file follows its last row."""
    with atomic_file(path) as file:
        summed = _Summed(file)
        np.lib.format.write_array(summed, np.ascontiguousarray(table), allow_pickle=False)
        file.write(summed.crc.to_bytes(_CRC_BYTES, "little"))


def read_table(path: Path, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The table at `path`, mapped read-only: nothing is copied.

    Raises:
        StoreDamagedError: where it is not what was written.
    """
    try:
        # Mapped, so that a header which lies about its length allocates nothing.
        table = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, EOFError, OverflowError) as wrong:
        raise table_damage(path, f"the file cannot be read: {wrong}") from None
    if table.dtype != dtype or table.ndim != 1:
        raise table_damage(path, "the file is not the table it should be")
    if len(table) % SEGMENT_ROWS:
        raise table_damage(path, f"{len(table)} rows are not whole segments of {SEGMENT_ROWS}")
    whole = np.memmap(path, np.uint8, "r")
    end = len(whole) - _CRC_BYTES
    stored = int.from_bytes(whole[end:].tobytes(), "little")
    if table.offset + table.nbytes != end or google_crc32c.value(whole[:end]) != stored:
        raise table_damage(path, "the file does not have the checksum that was written")
    return table


def table_damage(path: Path, what: str) -> StoreDamagedError:
    """Rows would be lost with these files, so everything below the folder has to be made again."""
    return damage(path.parent, f"{path.name} is damaged: {what}")
