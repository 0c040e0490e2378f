import os
import struct
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rsmtdf_core.errors import StoreDamagedError, StoreError
from rsmtdf_core.store import shards
from rsmtdf_core.store.shards import ShardReader, write_shard

BYTES = 24
FULL = [np.full(BYTES, n, np.uint8) for n in range(4)]
VARIED = [np.full(BYTES + n, n, np.uint8) for n in range(4)]


def write_index(path: Path, record: int, offset: int, length: int) -> None:
    """Change one pair of a shard of 4, and make the index's checksum right again."""
    whole = path.read_bytes()
    index = bytearray(whole[-68:-4])
    index[16 * record : 16 * record + 16] = struct.pack("<QQ", offset, length)
    checksum = google_crc32c.value(bytes(index)).to_bytes(4, "little")
    path.write_bytes(whole[:-68] + bytes(index) + checksum)


def check_what_was_written_is_read(
    path: Path, records: list[bytes | None], record_bytes: int | None
) -> None:
    packed = [None if record is None else np.frombuffer(record, np.uint8) for record in records]
    summary = write_shard(path, packed, 8)
    reader = ShardReader(path, 8, record_bytes, expected=summary)
    assert summary == reader.verify()
    assert summary.bytes == path.stat().st_size
    read = [reader.record(n, check=True).tobytes() if reader.present[n] else None for n in range(8)]
    assert read == records


quick = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=50,
)


@quick
@given(st.lists(st.none() | st.binary(min_size=BYTES, max_size=BYTES), min_size=8, max_size=8))
def test_records_of_one_size_are_read_as_written(
    tmp_path: Path, records: list[bytes | None]
) -> None:
    check_what_was_written_is_read(tmp_path / "shard", records, BYTES)


@quick
@given(st.lists(st.none() | st.binary(min_size=1, max_size=60), min_size=8, max_size=8))
def test_records_of_many_sizes_are_read_as_written(
    tmp_path: Path, records: list[bytes | None]
) -> None:
    check_what_was_written_is_read(tmp_path / "shard", records, None)


def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    def failing():
        yield FULL[0]
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_shard(tmp_path / "shard", failing(), 4)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", ["writev", "ftruncate", "fsync"])
@pytest.mark.parametrize("unlink_fails", [False, True])
def test_a_full_disk_leaves_no_shard_and_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, unlink_fails: bool
) -> None:
    def full(*_):
        raise OSError(28, "No space left on device")

    def broken(*_, **__):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, call, full)
    if unlink_fails:
        monkeypatch.setattr(Path, "unlink", broken)
    with pytest.raises(OSError, match="No space left"):
        write_shard(tmp_path / "shard", FULL, 4)
    left = [path.name for path in tmp_path.iterdir()]
    assert "shard" not in left
    assert len(left) == int(unlink_fails)


def test_a_write_that_the_system_cuts_short_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "writev", lambda handle, parts: os.write(handle, b"".join(parts)[:5]))
    summary = write_shard(tmp_path / "shard", FULL, 4)
    assert ShardReader(tmp_path / "shard", 4, BYTES).verify() == summary


def test_a_disk_that_cannot_reserve_space_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = write_shard(tmp_path / "reserved", FULL, 4)
    monkeypatch.setattr(shards, "_preallocate", lambda *_: None)
    assert write_shard(tmp_path / "plain", FULL, 4) == summary
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "reserved").read_bytes()


def test_space_that_absent_records_would_have_taken_is_given_back(tmp_path: Path) -> None:
    record = np.zeros(2**20, np.uint8)
    write_shard(tmp_path / "shard", [record, None, None, None, None, None, None, None], 8)
    assert (tmp_path / "shard").stat().st_blocks * 512 < 2 * 2**20


@pytest.mark.parametrize(("records", "record_bytes"), [(FULL, BYTES), (VARIED, None)])
def test_every_flipped_byte_is_found(
    tmp_path: Path, records: list[np.ndarray], record_bytes: int | None
) -> None:
    path = tmp_path / "shard"
    write_shard(path, records, 4)
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        with pytest.raises(StoreDamagedError, match="damaged"):
            ShardReader(path, 4, record_bytes).verify()


@pytest.mark.parametrize("record_bytes", [BYTES, None])
def test_a_shard_cut_off_anywhere_is_found(tmp_path: Path, record_bytes: int | None) -> None:
    path = tmp_path / "shard"
    write_shard(path, FULL, 4)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(StoreDamagedError, match="damaged"):
            ShardReader(path, 4, record_bytes)


@pytest.mark.parametrize("record_bytes", [BYTES, None])
@pytest.mark.parametrize(
    ("offset", "length"),
    [
        (BYTES + 4, 4),
        (BYTES + 4, 0),
        (0, BYTES + 4),
        (BYTES + 4, BYTES + 5),
        (4 * (BYTES + 4) - BYTES, BYTES + 4),
        (2**64 - 8, BYTES + 4),
        (BYTES + 4, 2**63),
        (BYTES + 4, 2**64 - 1),
        (2**64 - 1, BYTES + 4),
        (2**64 - 1, 2**64 - 1),
    ],
)
def test_a_forged_index_is_refused_despite_a_right_checksum(
    tmp_path: Path, record_bytes: int | None, offset: int, length: int
) -> None:
    path = tmp_path / "shard"
    write_shard(path, FULL, 4)
    write_index(path, 1, offset, length)
    with pytest.raises(StoreDamagedError, match="index does not list") as caught:
        ShardReader(path, 4, record_bytes)
    assert caught.value.where == str(path)


def test_two_full_shards_differ_in_their_summaries(tmp_path: Path) -> None:
    first = write_shard(tmp_path / "one", FULL, 4)
    other = write_shard(tmp_path / "other", FULL[::-1], 4)
    assert first.index_crc32c == other.index_crc32c
    assert first != other


@pytest.mark.parametrize("field", ["records", "bytes", "index_crc32c"])
def test_a_shard_that_the_ledger_does_not_know_is_refused(tmp_path: Path, field: str) -> None:
    summary = write_shard(tmp_path / "shard", FULL, 4)
    other = summary._replace(**{field: getattr(summary, field) + 1})
    with pytest.raises(StoreDamagedError, match="ledger"):
        ShardReader(tmp_path / "shard", 4, BYTES, expected=other)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreDamagedError, match="no-such"):
        ShardReader(tmp_path / "no-such", 4, BYTES)


def test_a_link_is_refused_even_to_a_whole_shard(tmp_path: Path) -> None:
    write_shard(tmp_path / "outside", FULL, 4)
    (tmp_path / "shard").symlink_to(tmp_path / "outside")
    with pytest.raises(StoreDamagedError, match="symbolic link"):
        ShardReader(tmp_path / "shard", 4, BYTES)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_paths_that_are_no_files_are_refused_at_once(tmp_path: Path, make) -> None:
    make(tmp_path / "shard")
    with pytest.raises(StoreDamagedError, match="not a regular file"):
        ShardReader(tmp_path / "shard", 4, BYTES)


def test_a_disk_error_is_not_taken_for_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(StoreError, match="Permission denied") as caught:
        ShardReader(tmp_path / "shard", 4, BYTES)
    assert not isinstance(caught.value, StoreDamagedError)
