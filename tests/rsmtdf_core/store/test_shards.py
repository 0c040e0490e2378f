import struct
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.store.shards import ShardReader, write_shard

BYTES = 24
FULL = [np.full(BYTES, n, np.uint8) for n in range(4)]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50
)
@given(
    records=st.lists(st.none() | st.binary(min_size=BYTES, max_size=BYTES), min_size=8, max_size=8)
)
def test_what_was_written_is_read(tmp_path: Path, records: list[bytes | None]) -> None:
    path = tmp_path / "shard"
    packed = [None if one is None else np.frombuffer(one, np.uint8) for one in records]
    summary = write_shard(path, packed, 8)
    reader = ShardReader(path, 8, BYTES)
    assert summary == reader.verify()
    assert reader.matches(summary)
    assert summary.bytes == path.stat().st_size
    found = [
        reader.record(n, check=True).tobytes() if reader.present[n] else None for n in range(8)
    ]
    assert found == records


def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    def failing():
        yield FULL[0]
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_shard(tmp_path / "shard", failing(), 4)
    assert list(tmp_path.iterdir()) == []


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "shard"
    write_shard(path, FULL, 4)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(StoreDamagedError, match="damaged"):
            ShardReader(path, 4, BYTES).verify()


@pytest.mark.parametrize("size", [0, 10, 67, 68, 100])
def test_a_truncated_shard_is_found(tmp_path: Path, size: int) -> None:
    path = tmp_path / "shard"
    write_shard(path, FULL, 4)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(StoreDamagedError):
        ShardReader(path, 4, BYTES)


@pytest.mark.parametrize(
    ("offset", "length"),
    [
        (0, BYTES),
        (4 * (BYTES + 4) - BYTES, BYTES + 4),
        (2**64 - 8, BYTES + 4),
        (0, 2**63),
        (2**64 - 1, BYTES + 4),
    ],
)
def test_an_index_that_points_outside_is_refused_though_its_checksum_is_right(
    tmp_path: Path, offset: int, length: int
) -> None:
    path = tmp_path / "shard"
    write_shard(path, FULL, 4)
    index = bytearray(path.read_bytes()[-68:-4])
    index[16:32] = struct.pack("<QQ", offset, length)
    checksum = google_crc32c.value(bytes(index)).to_bytes(4, "little")
    path.write_bytes(path.read_bytes()[:-68] + bytes(index) + checksum)
    with pytest.raises(StoreDamagedError, match="index names records"):
        ShardReader(path, 4, BYTES)


def test_two_full_shards_differ_in_their_summaries(tmp_path: Path) -> None:
    one = write_shard(tmp_path / "one", FULL, 4)
    other = write_shard(tmp_path / "other", FULL[::-1], 4)
    assert one.index_crc32c == other.index_crc32c
    assert one != other


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreDamagedError, match="no-such"):
        ShardReader(tmp_path / "no-such", 4, BYTES)
