"""Sums over cells."""

import numpy as np

from rsmtdf_core.probing.moments import Moments


def cells(count=50, channels=4, classes=3, seed=0):
    draws = np.random.default_rng(seed)
    features = draws.normal(3, 2, (count, channels)).astype(np.float32)
    shares = draws.dirichlet(np.ones(classes), count).astype(np.float32)
    weights = draws.choice([0.0, 0.25, 1.0], count).astype(np.float32)
    return features, shares, weights


def sums(*parts):
    moments = Moments.zeros(parts[0][0].shape[1], parts[0][1].shape[1])
    for part in parts:
        moments.add(*part)
    return moments


def test_sums_of_parts_and_orders_are_those_of_the_whole():
    features, shares, weights = cells()
    whole = sums((features, shares, weights))
    first = sums((features[:20], shares[:20], weights[:20]))
    second = sums((features[20:], shares[20:], weights[20:]))
    for total in (Moments.total([first, second]), Moments.total([second, first])):
        for name, value in vars(whole).items():
            assert np.allclose(getattr(total, name), value), name
    assert np.isclose(first.weight, weights[:20].sum())  # a total changes no part


def test_covariance_is_that_of_repeated_cells():
    features, shares, weights = cells()
    repeated = np.repeat(features, (4 * weights).astype(int), axis=0)
    expected = np.cov(repeated.T, bias=True)
    moments = sums((features, shares, weights))
    assert np.allclose(moments.covariance, expected, atol=1e-5)
    chosen = np.array([3, 1])
    assert np.allclose(
        moments.channels(chosen).covariance, expected[np.ix_(chosen, chosen)], atol=1e-5
    )


def test_a_cell_without_weight_does_not_count():
    features, shares, weights = cells()
    features[weights == 0] = np.nan
    assert np.isfinite(sums((features, shares, weights)).xx).all()
