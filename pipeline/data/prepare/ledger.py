"""The ledger of tiles that are cut: `crops.jsonl` has a line of settings, then a line with the files of each tile."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from rsmtdf_core.errors import DataError
from rsmtdf_core.files import atomic_file
from rsmtdf_core.fingerprints import differences

LEDGER = "crops.jsonl"


@dataclass(frozen=True)
class CutTile:
    """A tile whose crops are on disk.

    Attributes:
        id: the id of the tile.
        source: size in bytes and modification time in ns of its files, by path.
        unknown: number of pixels of its mask that match no class.
    """

    id: str
    source: dict[str, list[int]]
    unknown: int


def read_ledger(path: Path, cutting: Mapping[str, object]) -> dict[str, CutTile]:
    """Read the tiles that were cut, by id; none without a ledger.

    Raises:
        DataError: If the ledger is damaged, or its tiles were cut with settings other than `cutting`.
    """
    if not path.is_file():
        return {}
    lines = path.read_bytes().split(b"\n")[:-1]  # a line that an interruption cut short has no end
    try:
        first, *others = (json.loads(line) for line in lines)
        recorded = dict(first)
        tiles = [CutTile(**values) for values in others]
    except (ValueError, TypeError) as error:
        raise DataError(
            f"the list of crops is damaged: {error}",
            where=path,
            remedy="delete this file and run the command again: it cuts the tiles again",
        ) from None
    if recorded != cutting:
        raise DataError(
            f"the crops in this folder were cut with other settings: {'; '.join(differences(recorded, cutting))}",
            where=path,
            remedy="choose another folder with --to, or delete this one",
        )
    return {tile.id: tile for tile in tiles}


def write_ledger(path: Path, cutting: Mapping[str, object], tiles: Iterable[CutTile]) -> None:
    """Replace the ledger."""
    with atomic_file(path) as file:
        file.write(_line(cutting))
        for tile in tiles:
            append_tile(file, tile)


def append_tile(file: IO[bytes], tile: CutTile) -> None:
    """Record in an open ledger that a tile's crops are on disk."""
    file.write(_line(asdict(tile)))


def _line(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True).encode() + b"\n"
