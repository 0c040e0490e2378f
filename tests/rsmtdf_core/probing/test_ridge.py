"""The closed form agrees with scikit-learn, and no fold sees itself."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from rsmtdf_core.probing.moments import Moments
from rsmtdf_core.probing.ridge import PENALTIES, cross_validated, fit_ridge
from tests.rsmtdf_core.probing.test_moments import cells, sums


@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_head_is_that_of_scikit_learn(penalty):
    features, shares, weights = cells()
    [head] = fit_ridge(sums((features, shares, weights)), [penalty])
    scaler = StandardScaler().fit(features, sample_weight=weights)
    ridge = Ridge(alpha=penalty * weights.sum())
    ridge.fit(scaler.transform(features), shares, sample_weight=weights)
    expected = ridge.predict(scaler.transform(features))
    assert np.allclose(head(features), expected, atol=1e-5)
    errors = np.square(expected - shares).sum(axis=1)
    assert np.isclose(
        head.error(sums((features, shares, weights))),
        np.average(errors, weights=weights),
        rtol=1e-4,
    )


def test_scales_and_constant_channels_change_no_prediction():
    features, shares, weights = cells()
    changed = np.hstack([features * [1e-3, 10, 1e4, 1], np.full((len(features), 1), 7)])
    [head] = fit_ridge(sums((features, shares, weights)), [0.1])
    [other] = fit_ridge(sums((changed.astype(np.float32), shares, weights)), [0.1])
    assert np.allclose(head(features), other(changed.astype(np.float32)), atol=1e-4)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_fold_does_not_affect_its_own_head(count):
    parts = [cells(seed=seed) for seed in range(count)]
    heads = cross_validated([sums(part) for part in parts])
    features, shares, weights = parts[0]
    changed = [sums((features, 1 - shares, weights)), *(sums(part) for part in parts[1:])]
    others = cross_validated(changed)
    assert np.allclose(heads[0].weights, others[0].weights)
    assert not np.allclose(heads[1].weights, others[1].weights)


def test_the_order_of_folds_does_not_matter():
    folds = [sums(cells(seed=seed)) for seed in range(4)]
    forward, backward = cross_validated(folds), cross_validated(folds[::-1])
    for head, other in zip(forward, backward[::-1], strict=True):
        assert np.allclose(head.weights, other.weights)


def test_noise_gets_a_large_penalty_and_signal_a_small_one():
    draws = np.random.default_rng(0)

    def fold(signal):
        features = draws.normal(size=(30, 25)).astype(np.float32)
        shares = (features[:, :2] if signal else draws.normal(size=(30, 2))).astype(np.float32)
        return sums((features, shares, np.ones(30, np.float32)))

    for signal in (False, True):
        folds = [fold(signal) for _ in range(3)]
        chosen = cross_validated(folds)[0].weights
        rest = Moments.total(folds[1:])
        penalty = PENALTIES[0] if signal else PENALTIES[-1]
        assert np.allclose(chosen, fit_ridge(rest, [penalty])[0].weights)
