"""Only a single zstd frame of exactly the record's size is decoded, without access beyond the record."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs.zstd import Zstd

from rsmtdf_core.codecs.zstd_frame import LEVEL, compress, decompress
from rsmtdf_core.errors import StoreDamagedError

SIZE = 5000
NUMBERS = np.random.default_rng(0).integers(0, 4, SIZE, np.uint8)


def refused(data: bytes) -> None:
    with pytest.raises(StoreDamagedError, match="zstd"):
        decompress(np.frombuffer(data, np.uint8), np.empty(SIZE, np.uint8))


@given(
    st.binary(min_size=1, max_size=300) | st.integers(1, 300_000).map(bytes),
    st.sampled_from([1, 300]),
)
def test_numbers_of_any_size_come_back(content: bytes, times: int) -> None:
    numbers = np.frombuffer(content * times, np.uint8)
    out = np.full(len(numbers), 77, np.uint8)
    decompress(compress(numbers), out)
    assert np.array_equal(out, numbers)


def test_a_frame_has_no_checksum_and_is_smaller_than_its_numbers() -> None:
    frame = compress(NUMBERS)
    assert frame.nbytes < NUMBERS.nbytes / 2
    assert not frame[4] & 0x04
    assert Zstd(LEVEL).decode(frame.tobytes()) == NUMBERS.tobytes()


def test_another_size_is_refused() -> None:
    for other in (0, 1, SIZE - 1, SIZE + 1, 10 * SIZE):
        refused(Zstd(9).encode(np.zeros(other, np.uint8)))


def test_a_header_that_asks_for_terabytes_is_refused_before_anything_is_allocated() -> None:
    magic = b"\x28\xb5\x2f\xfd"
    refused(magic + b"\xe0" + (2**44).to_bytes(8, "little") + b"\x01\x00\x00")
    refused(magic + b"\x00\xff" + b"\x01\x00\x00")  # the size is not stated at all
    size = SIZE.to_bytes(8, "little")
    refused(magic + b"\xe0" + size + b"\x03\x00\x00\x00")  # right size, no content


def test_more_than_one_frame_is_refused() -> None:
    whole = compress(NUMBERS).tobytes()
    unsized = b"\x28\xb5\x2f\xfd\x00\x58\x01\x00\x00"
    for more in (unsized, whole, b"\x50\x2a\x4d\x18\x00\x00\x00\x00", b"\x00"):
        refused(whole + more)


def test_every_truncation_is_refused() -> None:
    whole = compress(NUMBERS).tobytes()
    for length in {*range(12), *range(12, len(whole), 37), len(whole) - 1}:
        refused(whole[:length])


@settings(max_examples=300)
@given(st.integers(0, 2**31), st.integers(1, 255))
def test_flipped_bits_are_refused_or_give_numbers(position: int, flip: int) -> None:
    # Only the store's crc32c finds wrong numbers; this is about crashes and other errors.
    frame = compress(NUMBERS).copy()
    frame[position % len(frame)] ^= flip
    around = np.full(SIZE + 128, 77, np.uint8)
    with suppress(StoreDamagedError):
        decompress(frame, around[64:-64])
    assert (around[:64] == 77).all()
    assert (around[-64:] == 77).all()
