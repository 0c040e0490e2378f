import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.store.fidelity import Fidelity


def tokens(seed: int, height: int = 8, noise: float = 0.0) -> np.ndarray:
    draws = np.random.default_rng(seed)
    values = draws.standard_normal((height, 8, 16), np.float32) + 5
    return values + noise * draws.standard_normal(values.shape, np.float32)


MEAN = np.full(16, 5, np.float32)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return (a * b).sum(axis=-1) / lengths


@given(st.integers(0, 1000), st.floats(-4, 0.5))
def test_it_agrees_with_the_definition(seed: int, decade: float) -> None:
    original = tokens(seed)
    restored = original + np.float32(10**decade) * (tokens(seed + 1) - MEAN)
    certificate = Fidelity.measure(original, restored, MEAN).certificate()
    for name, mean in (("cosine", 0), ("centred_cosine", MEAN)):
        expected = cosines(original - mean, restored - mean)
        assert certificate[name]["mean"] == pytest.approx(expected.mean(), abs=2e-7)
        assert certificate[name]["min"] == pytest.approx(expected.min(), abs=2e-7)
        percentile = np.sort(1 - expected.ravel())[::-1]
        nearest = percentile[int(0.01 * percentile.size)]
        assert 0.999 * nearest <= 1 - certificate[name]["p1"] <= 1.08 * nearest + 2e-7
    error = np.linalg.norm(restored - original) / np.linalg.norm(original)
    assert certificate["relative_error"] == pytest.approx(error, rel=1e-4)


def test_losses_far_below_float32_rounding_are_distinguished() -> None:
    original = np.ones((1, 1, 2), np.float32)
    restored = original + np.array([1e-4, -1e-4], np.float32)
    fidelity = Fidelity.measure(original, restored, np.zeros(2, np.float32))
    assert 1 - fidelity.certificate()["cosine"]["min"] == pytest.approx(0.5e-8, rel=0.01)


def test_merging_parts_in_any_order_is_measuring_the_whole() -> None:
    originals = [tokens(seed) for seed in range(5)]
    restored = [tokens(seed, noise=0.1 * seed) for seed in range(5)]
    parts = [Fidelity.measure(o, r, MEAN) for o, r in zip(originals, restored, strict=True)]
    whole = Fidelity.measure(np.concatenate(originals), np.concatenate(restored), MEAN)
    for merged in (
        Fidelity.merged(parts),
        Fidelity.merged([Fidelity.merged(reversed(parts[3:])), Fidelity.merged(parts[:3])]),
    ):
        assert merged.records == 5
        assert merged.tokens == whole.tokens
        assert merged.centred.counts == whole.centred.counts
        for name, spread in whole.certificate().items():
            if name != "records":
                assert merged.certificate()[name] == pytest.approx(spread)


def test_it_goes_through_json_and_fits_a_line() -> None:
    fidelity = Fidelity.measure(tokens(0, 64), tokens(0, 64, noise=0.3), MEAN)
    line = json.dumps(fidelity.to_json())
    assert len(line) < 2048
    assert Fidelity.from_json(json.loads(line)) == fidelity
    assert Fidelity.from_json(Fidelity().to_json()) == Fidelity()


@pytest.mark.parametrize(
    "change",
    [
        {"records": -1},
        {"tokens": 7},
        {"cosine": [0, 0]},
        {"cosine": [0.0, 0.0, 290, *[8] * 64]},
        {"centred": [0.0, 0.0, 3, 1, -1]},
        {"error": float("nan")},
        {"energy": "1"},
        {"more": 1},
    ],
)
def test_invalid_fidelities_are_refused(change: dict[str, object]) -> None:
    value = Fidelity.measure(tokens(0, 64), tokens(0, 64, noise=0.3), MEAN).to_json()
    with pytest.raises(ValueError, match=r"fidelity|spread|count|amount"):
        Fidelity.from_json({**value, **change})


def test_zero_tokens_are_alike_and_unlike_all_others() -> None:
    original, restored = np.zeros((2, 1, 2, 3), np.float32)
    restored[0, 1] = 1
    certificate = Fidelity.measure(original, restored, np.zeros(3, np.float32)).certificate()
    assert certificate["cosine"] == {"mean": 0.5, "p1": 0.0, "min": 0.0}
    assert certificate["relative_error"] == 1
    same = Fidelity.measure(original, original, np.zeros(3, np.float32)).certificate()
    assert same["centred_cosine"] == {"mean": 1.0, "p1": 1.0, "min": 1.0}
    assert same["relative_error"] == 0


def test_opposite_tokens_have_cosine_minus_one() -> None:
    original = tokens(0)
    certificate = Fidelity.measure(original, -original, np.zeros(16, np.float32)).certificate()
    assert certificate["cosine"]["min"] == pytest.approx(-1)
    assert certificate["cosine"]["p1"] == pytest.approx(-1)


def test_without_measurements_there_is_no_promise() -> None:
    assert Fidelity.merged([]).certificate() == {"records": 0, "tokens": 0}
