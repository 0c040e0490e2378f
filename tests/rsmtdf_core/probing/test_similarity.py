"""CKA and explained variance by their definitions."""

import numpy as np
import pytest

from rsmtdf_core.probing.similarity import CrossCovariance, ExplainedVariance, linear_cka
from tests.rsmtdf_core.probing.test_moments import cells, sums


def cka(first, second, shares, weights):
    cross = CrossCovariance(first.shape[1], second.shape[1])
    for part in (slice(None, 20), slice(20, None)):
        cross.add(first[part], second[part], weights[part])
    covariances = [sums((values, shares, weights)).covariance for values in (first, second)]
    return linear_cka(*covariances, cross.covariance)


def test_cka_is_that_of_the_paper_and_ignores_rotation_and_scale():
    features, shares, weights = cells()
    draws = np.random.default_rng(1)
    rotation = np.linalg.qr(draws.normal(size=(4, 4)))[0]
    other = (5 * features @ rotation + 1).astype(np.float32)
    assert cka(features, other, shares, weights) == pytest.approx(1, abs=1e-4)
    second = draws.normal(size=(len(features), 3)).astype(np.float32)
    ones = np.ones(len(features), np.float32)
    x, y = features - features.mean(axis=0), second - second.mean(axis=0)
    # Kornblith et al. 2019, HSIC of the kernels x x' and y y'.
    kernels = x @ x.T, y @ y.T
    expected = np.sum(kernels[0] * kernels[1]) / np.prod([np.linalg.norm(k) for k in kernels])
    assert cka(features, second, shares, ones) == pytest.approx(expected, abs=1e-4)


def test_constant_features_are_similar_to_nothing():
    zero = np.zeros((3, 3))
    assert linear_cka(zero, np.eye(2), np.zeros((3, 2))) == 0


@pytest.mark.parametrize(("noise", "expected"), [(0.0, 1.0), (1.0, 0.0), (2.0, -3.0)])
def test_explained_variance(noise, expected):
    features, _, weights = cells(2000)
    explained = ExplainedVariance(4)
    mean = np.average(features, axis=0, weights=weights)
    student = features - noise * (features - mean) + 3  # a constant offset explains nothing away
    for part in (slice(None, 700), slice(700, None)):
        explained.add(features[part], student.astype(np.float32)[part], weights[part])
    assert explained.share == pytest.approx(expected, abs=1e-3)


def test_constant_tokens_have_no_variance_to_explain():
    explained = ExplainedVariance(2)
    explained.add(np.zeros((3, 2), np.float32), np.ones((3, 2), np.float32), np.ones(3, np.float32))
    assert explained.share is None
