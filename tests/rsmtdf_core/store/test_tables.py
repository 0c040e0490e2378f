"""Tables come back as they were written, numpy reads them, and no changed byte passes."""

import io

import google_crc32c
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.store.tables import SEGMENT_ROWS, read_table, table_bytes, write_table
from rsmtdf_core.views.view import VIEW_DTYPE

DTYPE = np.dtype("<u4")


def drawn(segments, seed=0, dtype=DTYPE):
    draws = np.random.default_rng(seed)
    count = segments * SEGMENT_ROWS
    return draws.integers(0, 256, count * dtype.itemsize, np.uint8).view(dtype)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("tables") / "table.npy"


@pytest.mark.parametrize("dtype", [DTYPE, VIEW_DTYPE, np.dtype("u1")])
@pytest.mark.parametrize("segments", [0, 1, 3])
def test_a_table_comes_back_read_only_and_numpy_reads_the_file(path, dtype, segments):
    table = drawn(segments, dtype=dtype)
    write_table(path, table)
    read = read_table(path, dtype)
    assert read.dtype == dtype
    assert read.tobytes() == table.tobytes()
    assert not read.flags.writeable
    if dtype != VIEW_DTYPE:  # in which any byte but 0 and 1 is no bool
        assert np.array_equal(np.load(path), table)


@given(position=st.floats(0, 0.9999), bit=st.integers(0, 7))
def test_no_changed_bit_passes(path, position, bit):
    content = bytearray(table_bytes(drawn(1)))
    content[int(position * len(content))] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises(StoreDamagedError, match="damaged") as caught:
        read_table(path, DTYPE)
    assert caught.value.where == str(path)


@given(share=st.floats(0, 0.9999))
def test_no_cut_file_passes(path, share):
    content = table_bytes(drawn(1))
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(StoreDamagedError, match="damaged"):
        read_table(path, DTYPE)


def with_checksum(content):
    return content + int(google_crc32c.value(content)).to_bytes(4, "little")


def as_numpy(table, version=(1, 0)):
    file = io.BytesIO()
    np.lib.format.write_array(file, table, version=version)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        as_numpy(drawn(1).view("<i4")),
        as_numpy(drawn(1, dtype=np.dtype("<u8"))),
        as_numpy(drawn(1).reshape(2, -1)),
        as_numpy(drawn(1))[:-4],
        as_numpy(drawn(1)) + b"\0\0\0\0",
        as_numpy(drawn(1)[:-1]),
        as_numpy(drawn(1), version=(2, 0)),
        as_numpy(drawn(1)).replace(b"'descr'", b"__import"),
        as_numpy(drawn(1)).replace(b"512", b"9" * 3),
        b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 0xFFFF,
        b"",
    ],
    ids=lambda content: f"{len(content)} bytes",
)
def test_another_table_is_refused_though_its_checksum_is_right(path, content):
    path.write_bytes(with_checksum(content))
    with pytest.raises(StoreDamagedError, match="damaged"):
        read_table(path, DTYPE)


def test_absent_files_and_other_things_are_damage(tmp_path):
    for name in ("absent", "folder", "empty"):
        (tmp_path / "folder").mkdir(exist_ok=True)
        (tmp_path / "empty").touch()
        with pytest.raises(StoreDamagedError, match=name):
            read_table(tmp_path / name, DTYPE)
