"""Which tiles are cut: `crops.jsonl` has a line that says how, then one for each tile that says from which files."""

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
        id: the tile's.
        source: size in bytes and time in ns of its files, by path, which tell whether they are those that were cut.
        unknown: pixels of its mask that match no class.
    """

    id: str
    source: dict[str, list[int]]
    unknown: int


def read_ledger(path: Path, how: Mapping[str, object]) -> dict[str, CutTile]:
    """The tiles that were cut, by id; none where there is no ledger.

    Raises:
        DataError: it is damaged, or its tiles were cut in another way than `how`.
    """
    if not path.is_file():
        return {}
    lines = path.read_bytes().split(b"\n")[:-1]  # a line that a kill cut short has no end
    try:
        first, *others = (json.loads(line) for line in lines)
        found = dict(first)
        tiles = [CutTile(**one) for one in others]
    except (ValueError, TypeError) as error:
        raise DataError(
            f"the list of crops is damaged: {error}",
            where=path,
            remedy="delete this file: the tiles are then cut again",
        ) from None
    if found != how:
        raise DataError(
            f"the crops here were cut in another way: {'; '.join(differences(found, how))}",
            where=path,
            remedy="name another folder with --to, or delete this one",
        )
    return {tile.id: tile for tile in tiles}


def write_ledger(path: Path, how: Mapping[str, object], tiles: Iterable[CutTile]) -> None:
    """Replace the ledger."""
    with atomic_file(path) as file:
        file.write(_line(how))
        for tile in tiles:
            append_tile(file, tile)


def append_tile(file: IO[bytes], tile: CutTile) -> None:
    """Note in an open ledger that a tile's crops are on disk."""
    file.write(_line(asdict(tile)))


def _line(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True).encode() + b"\n"
