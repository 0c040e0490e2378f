"""int8: the error of each token is at most half of its quantization step, or the token is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from rsmtdf_core.codecs import declare_codec, make_codec
from rsmtdf_core.errors import StoreError
from tests.rsmtdf_core.codecs.round_trip import restored

SHAPE = (3, 5, 7)


@given(
    arrays(
        np.float32,
        array_shapes(min_dims=3, max_dims=3, max_side=5),
        elements=st.floats(-8e6, 8e6, width=32),
    )
)
def test_int8_errs_by_half_a_level_or_is_refused(tokens: np.ndarray) -> None:
    largest = np.abs(tokens).max(axis=-1, keepdims=True)
    if ((largest > 0) & (largest < 3.79e-6)).any():
        with pytest.raises(StoreError, match="too small"):
            restored("int8", tokens)
        return
    # A level is a 127th of the largest, rounded up to half precision: by 2 ** -10 of itself, or
    # where half precision runs out of bits, by its smallest number.
    level = largest / 127 * (1 + 2**-10) + 2.0**-24
    assert (np.abs(restored("int8", tokens) - tokens) <= level * 0.5001).all()


def test_int8_keeps_its_bytes_as_they_are_described() -> None:
    tokens = np.zeros((1, 2, 3), np.float32)
    tokens[0, 1] = [127, -63.6, 0.4]
    codec = make_codec(declare_codec("int8"), (1, 2, 3), {})
    packed = codec.encode(tokens)
    assert packed.tolist() == [0, 0, 0, 0, 0, 127, 256 - 64, 0, 0x00, 0x3C]


@pytest.mark.parametrize("largest", [3.9e-6, 7e-6, 1e-4, 1.0, 300.0, 8.3e6])
def test_int8_never_passes_127(largest: float) -> None:
    tokens = np.random.default_rng(0).uniform(-1, 1, (9, 9, 5)).astype(np.float32)
    tokens *= largest / np.abs(tokens).max(axis=-1, keepdims=True)
    codec = make_codec(declare_codec("int8"), tokens.shape, {})
    numbers = codec.encode(tokens).view(np.int8).reshape(codec.stored_shape)[..., :-2]
    levels = np.abs(numbers.astype(int)).max(axis=-1)
    assert levels.min() >= 63
    assert levels.max() <= 127
    assert (np.sign(numbers) * np.sign(tokens) >= 0).all()


def test_int8_rounds_strided_and_wider_floats_alike() -> None:
    tokens = np.random.default_rng(0).standard_normal(SHAPE, np.float32)
    codec = make_codec(declare_codec("int8"), SHAPE, {})
    packed = codec.encode(tokens)
    assert np.array_equal(packed, codec.encode(tokens.astype(np.float64)))
    assert np.array_equal(packed, codec.encode(np.asfortranarray(tokens)))
