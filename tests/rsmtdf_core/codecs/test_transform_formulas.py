"""The formulas of the transform codec: an orthonormal transform, and rounding that favors zero."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rsmtdf_core.codecs.transform_formulas import Basis, cosines, frequency_order, quantised
from rsmtdf_core.errors import StoreError


def test_frequencies_go_from_low_to_high_on_any_grid() -> None:
    assert frequency_order(2, 3).tolist() == [0, 1, 3, 4, 2, 5]
    assert sorted(frequency_order(7, 4).tolist()) == list(range(28))


def test_cosines_are_orthonormal_with_the_constant_first() -> None:
    assert np.allclose(cosines(7) @ cosines(7).T, np.eye(7), atol=1e-6)
    assert np.allclose(cosines(7)[0], 7**-0.5)


@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 5), st.integers(0, 2**16))
def test_coefficients_keep_the_energy_and_go_back_to_the_tokens(height, width, channels, seed):
    draws = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(draws.standard_normal((channels, channels)))
    mean = draws.standard_normal(channels).astype(np.float32)
    tokens = draws.standard_normal((height, width, channels)).astype(np.float32)
    coefficients = Basis(mean, rotation.astype(np.float32)).coefficients(tokens)
    assert coefficients.shape == tokens.shape
    assert np.allclose(
        np.square(coefficients).sum(), np.square(tokens - mean).sum(), rtol=1e-4, atol=1e-4
    )
    maps = np.einsum("ui,vj,uvd->ijd", cosines(height), cosines(width), coefficients)
    assert np.allclose(maps @ rotation + mean, tokens, atol=1e-4)


@given(
    arrays(np.float32, (2, 3, 2), elements=st.floats(-3e4, 3e4, width=32)),
    st.floats(1, 50, width=32),
)
def test_numbers_err_by_a_step_at_most_and_never_away_from_zero_by_more_than_a_third(
    coefficients, step
):
    numbers = quantised(coefficients, step)
    assert numbers.dtype == np.int32
    away = np.abs(numbers) * np.float64(step) - np.abs(coefficients)
    assert (away <= 0.34 * step).all()
    assert (away >= -0.68 * step).all()
    assert (np.sign(numbers) * np.sign(coefficients) >= 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 4e4, -4e4])
def test_values_beyond_int16_are_refused(value):
    coefficients = np.zeros((2, 2, 1), np.float32)
    coefficients[1, 0] = value
    with pytest.raises(StoreError, match=r"finite|int16"):
        quantised(coefficients, 1.0)
