"""The closed form agrees with scikit-learn, and no fold sees itself."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import jaccard_score
from sklearn.preprocessing import StandardScaler

from rsmtdf_core.probing.moments import Moments
from rsmtdf_core.probing.ridge import PENALTIES, CrossValidation, fit_ridge
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


def test_scales_and_constant_channels_change_no_prediction():
    features, shares, weights = cells()
    changed = np.hstack([features * [1e-3, 10, 1e4, 1], np.full((len(features), 1), 7)])
    [head] = fit_ridge(sums((features, shares, weights)), [0.1])
    [other] = fit_ridge(sums((changed.astype(np.float32), shares, weights)), [0.1])
    assert np.allclose(head(features), other(changed.astype(np.float32)), atol=1e-4)


def cross_validated(parts):
    validation = CrossValidation([sums(part) for part in parts])
    for fold, part in enumerate(parts):
        for half in (slice(None, 20), slice(20, None)):
            validation.add(fold, *(values[half] for values in part))
    return validation.heads()


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_fold_does_not_affect_its_own_head(count):
    parts = [cells(seed=seed) for seed in range(count)]
    features, shares, weights = parts[0]
    heads = cross_validated(parts)
    others = cross_validated([(features, 1 - shares, weights), *parts[1:]])
    assert np.allclose(heads[0].weights, others[0].weights)
    assert not np.allclose(heads[1].weights, others[1].weights)


def test_the_order_of_folds_does_not_matter():
    parts = [cells(seed=seed) for seed in range(4)]
    forward, backward = cross_validated(parts), cross_validated(parts[::-1])
    for head, other in zip(forward, backward[::-1], strict=True):
        assert np.allclose(head.weights, other.weights)


@pytest.mark.parametrize("count", [3, 4])
def test_the_penalty_is_the_best_of_an_inner_cross_validation(count):
    """The same as fitting and scoring each inner fold, one after the other."""
    draws = np.random.default_rng(0)
    mixing = draws.normal(size=(30, 3))
    parts = []
    for _ in range(count):
        features = draws.normal(size=(25, 30)).astype(np.float32)
        classes = (features @ mixing + draws.normal(size=(25, 3), scale=6)).argmax(axis=1)
        weights = draws.choice([0.5, 1.0], 25).astype(np.float32)
        parts.append((features, np.eye(3, dtype=np.float32)[classes], weights))
    heads = cross_validated(parts)
    for fold, head in enumerate(heads):
        rest = [part for number, part in enumerate(parts) if number != fold]
        scores = []
        for penalty in PENALTIES:
            truth, predicted, weights = [], [], []
            for number, (features, shares, part_weights) in enumerate(rest):
                others = [sums(part) for index, part in enumerate(rest) if index != number]
                [inner] = fit_ridge(Moments.total(others), [penalty])
                truth += shares.argmax(axis=1).tolist()
                predicted += inner(features).argmax(axis=1).tolist()
                weights += part_weights.tolist()
            scores.append(jaccard_score(truth, predicted, average="macro", sample_weight=weights))
        best = PENALTIES[int(np.argmax(scores))]
        [expected] = fit_ridge(Moments.total([sums(part) for part in rest]), [best])
        assert np.allclose(head.weights, expected.weights)
