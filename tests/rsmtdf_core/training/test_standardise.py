"""Targets of unit variance in every channel, at distances of one scale, whatever the covariance."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.training.standardise import TokenMap, hadamard, phi_s, token_moments

# By Paley's first and second construction, and doublings of both; the widths of common teachers among them.
ORDERS = [1, 2, 4, 12, 20, 28, 36, 40, 56, 76, 112, 384, 768, 1024, 1152]


def drawn(channels, rank, seed, tokens=400):
    """Tokens [n, D] of a random covariance of this rank, with channels of very different size and mean."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(rank, channels)) * np.exp(rng.normal(size=channels) * 2)
    return rng.normal(size=(tokens, rank)) @ mixing + 5 * rng.normal(size=channels)


@pytest.mark.parametrize("order", ORDERS)
def test_a_hadamard_matrix_has_signs_as_entries_and_orthogonal_rows(order):
    matrix = hadamard(order)
    assert (np.abs(matrix) == 1).all()
    product = matrix.astype(float) @ matrix.T
    assert (product == order * np.eye(order)).all()


@pytest.mark.parametrize("order", [3, 6, 10, 92])
def test_an_order_without_a_matrix_is_refused_with_other_targets(order):
    with pytest.raises(ConfigError, match=f"none of order {order} is known") as refused:
        hadamard(order)
    assert refused.value.remedy == "--set objective.distillation.targets=centered"


@given(st.sampled_from([4, 8, 12, 20, 24, 28]), st.integers(1, 28), st.integers(0, 2**32 - 1))
def test_every_channel_has_unit_variance_and_distances_keep_their_ratios(channels, rank, seed):
    tokens = drawn(channels, min(rank, channels), seed)
    mean, covariance = tokens.mean(axis=0), np.cov(tokens.T, bias=True)
    token_map = phi_s(mean, covariance)
    mapped = (tokens - mean) @ token_map.matrix.double().numpy()
    np.testing.assert_allclose(mapped.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(mapped.var(axis=0), 1, rtol=1e-4)
    # The scale is the root of the mean eigenvalue, for every pair of tokens.
    alpha = np.sqrt(np.linalg.eigvalsh(covariance).mean())
    for first, second in ((0, 1), (2, 3), (4, 40)):
        before = np.linalg.norm(tokens[first] - tokens[second])
        after = np.linalg.norm(mapped[first] - mapped[second])
        assert after == pytest.approx(before / alpha, rel=1e-4)


def test_the_map_is_the_formula_of_the_paper():
    tokens = drawn(12, 12, 1)
    mean, covariance = tokens.mean(axis=0), np.cov(tokens.T, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    vectors *= [np.sign(max(vector, key=abs)) for vector in vectors.T]
    rotation = hadamard(12) / np.sqrt(12) @ vectors.T
    expected = [rotation @ (token - mean) / np.sqrt(values.mean()) for token in tokens]
    mapped = phi_s(mean, covariance)(torch.from_numpy(tokens.astype(np.float32)))
    np.testing.assert_allclose(mapped.numpy(), expected, rtol=1e-3, atol=1e-3)


def test_tokens_that_do_not_vary_are_refused():
    for mean in (np.zeros(4), np.full(4, 3.0)):
        with pytest.raises(ConfigError, match="do not vary"):
            phi_s(mean, np.zeros((4, 4)))


def test_moments_of_views_are_those_of_all_their_tokens():
    rng = np.random.default_rng(0)
    views = [1000 + rng.normal(size=(3, 5, 4)) * [1, 2, 3, 4] + i for i in range(3)]
    tokens = np.concatenate([view.reshape(-1, 4) for view in views])
    mean, covariance = token_moments(view.astype(np.float32) for view in views)
    np.testing.assert_allclose(mean, tokens.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(covariance, np.cov(tokens.T, bias=True), rtol=1e-3, atol=1e-3)


def test_centering_subtracts_the_mean_alone_and_leaves_the_tokens_as_they_were():
    offset, tokens = torch.randn(6), torch.randn(2, 3, 3, 6)
    before = tokens.clone()
    assert torch.equal(TokenMap(offset)(tokens), before - offset)
    assert torch.equal(tokens, before)
    assert TokenMap(offset).tensors.keys() == {"offset"}
