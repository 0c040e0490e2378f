"""Half precision: the nearest representable number; numbers out of range are refused."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from rsmtdf_core.codecs import declare_codec, make_codec
from tests.rsmtdf_core.codecs.round_trip import restored

SHAPE = (3, 5, 7)


def test_fp16_returns_the_nearest_half_precision() -> None:
    tokens = np.random.default_rng(0).standard_normal(SHAPE, np.float32)
    decoded = restored("fp16", tokens)
    assert decoded.dtype == np.float32
    assert np.array_equal(decoded, tokens.astype(np.float16).astype(np.float32))


@given(
    arrays(
        np.float64,
        array_shapes(min_dims=3, max_dims=3, max_side=4),
        elements=st.floats(-65504, 65504),
    )
)
def test_any_finite_number_becomes_the_nearest_half(tokens: np.ndarray) -> None:
    # 11 significant bits: half a unit in the last place, or half the smallest number.
    bound = np.maximum(np.abs(tokens) * 2.0**-11, 2.0**-25)
    assert (np.abs(restored("fp16", tokens) - tokens) <= bound).all()


def test_bytes_are_little_endian_halves_row_by_row() -> None:
    codec = make_codec(declare_codec("fp16"), (1, 2, 2), {})
    packed = codec.encode(np.array([[[1, -2], [0, 65504]]], np.float32))
    assert packed.tolist() == [0x00, 0x3C, 0x00, 0xC0, 0x00, 0x00, 0xFF, 0x7B]
    decoded = codec.decode(torch.tensor([[[[1.0, -2.0]]]], dtype=torch.float16), "cpu")
    assert decoded.dtype == torch.float32
