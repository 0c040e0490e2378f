"""fp16, int8 and uint8: records that are the numbers themselves."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from rsmtdf_core.errors import StoreDamagedError, StoreError
from rsmtdf_core.store.codecs import declare_codec, make_codec

SHAPE = (3, 5, 7)


def restored(name: str, tokens: np.ndarray) -> np.ndarray:
    """Through the record's bytes and back."""
    codec = make_codec(declare_codec(name), tokens.shape, {})
    stored = np.empty(codec.stored_shape, codec.dtype)
    codec.unpack(codec.encode(tokens), stored)
    return codec.decode(torch.from_numpy(stored[None]), "cpu")[0].numpy()


def test_fp16_gives_back_what_half_precision_holds() -> None:
    tokens = np.random.default_rng(0).standard_normal(SHAPE, np.float32)
    decoded = restored("fp16", tokens)
    assert decoded.dtype == np.float32
    assert np.array_equal(decoded, tokens.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize("name", ["fp16", "int8"])
@pytest.mark.parametrize(
    ("value", "told"),
    [
        (np.nan, "finite"),
        (-np.nan, "finite"),
        (np.inf, "finite"),
        (-np.inf, "finite"),
        (1e7, "half.precision"),
        (-9e6, "9e"),
    ],
)
def test_what_cannot_be_held_is_refused(name: str, value: float, told: str) -> None:
    tokens = np.zeros(SHAPE, np.float32)
    tokens[1, 2, 3] = value
    with pytest.raises(StoreError, match=told):
        make_codec(declare_codec(name), SHAPE, {}).encode(tokens)


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


def test_pixels_come_back_as_bytes() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)
    decoded = restored("uint8", pixels)
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, pixels)


@pytest.mark.parametrize("name", ["fp16", "int8", "uint8"])
def test_bytes_of_another_length_are_no_record(name: str) -> None:
    codec = make_codec(declare_codec(name), SHAPE, {})
    stored = np.empty(codec.stored_shape, codec.dtype)
    for length in (0, codec.typical_bytes - 1, codec.typical_bytes + 1):
        with pytest.raises(StoreDamagedError, match="bytes"):
            codec.unpack(np.zeros(length, np.uint8), stored)
