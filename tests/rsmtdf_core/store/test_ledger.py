import json
from pathlib import Path

import google_crc32c
import pytest

from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.store.ledger import LEDGER, LedgerEntry, append_ledger, read_ledger
from rsmtdf_core.store.shards import ShardSummary

ONE = LedgerEntry(0, ShardSummary(4, 400, 1, 2), '{"records": 1}')
TWO = LedgerEntry(7, ShardSummary(3, 300, 3, 4))


def test_an_absent_ledger_is_empty(tmp_path: Path) -> None:
    assert read_ledger(tmp_path).entries == {}


def test_a_later_line_replaces_an_earlier_one(tmp_path: Path) -> None:
    newer = LedgerEntry(0, ShardSummary(4, 401, 5, 6))
    append_ledger(tmp_path, [ONE, TWO])
    append_ledger(tmp_path, [newer])
    assert read_ledger(tmp_path).entries == {0: newer, 7: TWO}


def test_a_torn_last_line_is_ignored_and_then_removed(tmp_path: Path) -> None:
    append_ledger(tmp_path, [ONE])
    whole = (tmp_path / LEDGER).read_bytes()
    (tmp_path / LEDGER).write_bytes(whole + whole[:-9])
    assert read_ledger(tmp_path).content == whole
    append_ledger(tmp_path, [TWO])
    assert read_ledger(tmp_path).entries == {0: ONE, 7: TWO}
    assert (tmp_path / LEDGER).read_bytes().startswith(whole)


@pytest.mark.parametrize(
    "field", [{"shard": -1}, {"shard": 2**70}, {"shard": True}, {"shard": "../x"}, {"fidelity": 3}]
)
def test_a_line_that_is_no_entry_is_damage_though_its_checksum_is_right(
    tmp_path: Path, field: dict[str, object]
) -> None:
    append_ledger(tmp_path, [ONE])
    entry = json.loads((tmp_path / LEDGER).read_text())
    del entry["crc32c"]
    body = json.dumps({**entry, **field})[:-1]
    line = f'{body}, "crc32c": {google_crc32c.value(body.encode())}}}\n'
    with (tmp_path / LEDGER).open("a") as file:
        file.write(line)
    with pytest.raises(StoreDamagedError, match="line 2"):
        read_ledger(tmp_path)


@pytest.mark.parametrize("line", ["{", "[]", '{"shard": 1}', "", "3"])
def test_a_complete_line_without_a_checksum_is_damage(tmp_path: Path, line: str) -> None:
    append_ledger(tmp_path, [ONE])
    with (tmp_path / LEDGER).open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(StoreDamagedError, match="line 2"):
        read_ledger(tmp_path)


def test_every_flipped_bit_of_a_complete_line_is_found(tmp_path: Path) -> None:
    append_ledger(tmp_path, [ONE, TWO])
    whole = (tmp_path / LEDGER).read_bytes()
    for position in range(len(whole) - 1):
        for bit in range(8):
            flipped = whole[:position] + bytes([whole[position] ^ 1 << bit]) + whole[position + 1 :]
            (tmp_path / LEDGER).write_bytes(flipped)
            with pytest.raises(StoreDamagedError, match="line"):
                read_ledger(tmp_path)
