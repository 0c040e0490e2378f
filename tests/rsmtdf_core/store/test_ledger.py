from pathlib import Path

import pytest

from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.store.ledger import LEDGER, LedgerEntry, append_ledger, read_ledger

ONE, TWO = LedgerEntry(0, 4, 400, 1, 2), LedgerEntry(7, 3, 300, 3, 4)


def test_an_absent_ledger_is_empty(tmp_path: Path) -> None:
    assert read_ledger(tmp_path).entries == {}


def test_a_later_line_replaces_an_earlier_one(tmp_path: Path) -> None:
    newer = LedgerEntry(0, 4, 401, 5, 6)
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
    "line",
    ["{", "[]", '{"shard": 1}', (LEDGER, -1), (LEDGER, 2**70), (LEDGER, True), (LEDGER, "../x")],
)
def test_a_complete_line_that_is_no_entry_is_damage(tmp_path: Path, line: object) -> None:
    append_ledger(tmp_path, [ONE])
    text = (tmp_path / LEDGER).read_text()
    if isinstance(line, tuple):
        import json

        text += json.dumps({**json.loads(text), "shard": line[1]}) + "\n"
    else:
        text += f"{line}\n"
    (tmp_path / LEDGER).write_text(text)
    with pytest.raises(StoreDamagedError, match="line 2"):
        read_ledger(tmp_path)
