"""Codecs whose records are the numbers themselves have records of one size."""

import numpy as np
import pytest

from rsmtdf_core.codecs import declare_codec, make_codec
from rsmtdf_core.errors import StoreDamagedError, StoreError
from rsmtdf_core.kinds import CODECS

SHAPE = (3, 5, 7)


@pytest.mark.parametrize("name", ["fp16", "int8", "uint8"])
def test_plain_codecs_have_records_of_one_size(name: str) -> None:
    codec = make_codec(declare_codec(name), SHAPE, {})
    tokens = np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.uint8)
    packed = codec.encode(tokens if name == "uint8" else tokens.astype(np.float32))
    assert packed.dtype == np.uint8
    assert packed.nbytes == codec.record_bytes == codec.typical_bytes
    assert codec.filters == []
    assert codec.label in CODECS


@pytest.mark.parametrize("name", ["fp16", "int8", "uint8"])
def test_bytes_of_another_length_are_no_record(name: str) -> None:
    codec = make_codec(declare_codec(name), SHAPE, {})
    stored = np.empty(codec.stored_shape, codec.dtype)
    for length in (0, codec.typical_bytes - 1, codec.typical_bytes + 1):
        with pytest.raises(StoreDamagedError, match="bytes"):
            codec.unpack(np.zeros(length, np.uint8), stored)


@pytest.mark.parametrize("name", ["fp16", "int8"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.nan, "finite"),
        (-np.nan, "finite"),
        (np.inf, "finite"),
        (-np.inf, "finite"),
        (1e7, "half.precision"),
        (-9e6, "9e"),
    ],
)
def test_unrepresentable_values_are_refused(name: str, value: float, reason: str) -> None:
    tokens = np.zeros(SHAPE, np.float32)
    tokens[1, 2, 3] = value
    with pytest.raises(StoreError, match=reason):
        make_codec(declare_codec(name), SHAPE, {}).encode(tokens)
