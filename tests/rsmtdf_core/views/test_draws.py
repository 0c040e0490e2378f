import numpy as np

from rsmtdf_core.views.draws import KeyedDraws, key_digest


def test_the_same_key_draws_the_same_and_another_key_draws_otherwise():
    keys = [(0, "a", 1), (1, "a", 1), (0, "b", 1), (0, "a", 2), (0, "a", "1"), (0, "a")]
    first = [KeyedDraws(*key).uniform() for key in keys]
    assert first == [KeyedDraws(*key).uniform() for key in keys]
    assert len(set(first)) == len(keys)


def test_draws_are_the_same_on_every_machine_and_version():
    draws = KeyedDraws(7, "scene", 3, "geometry")
    values = [draws.integer(0, 999_999) for _ in range(3)], draws.uniform(), draws.permutation(6)
    words = np.random.Philox(
        key=int.from_bytes(key_digest(7, "scene", 3, "geometry")[:16], "little")
    )
    assert values[0] == [int(word) * 1_000_000 >> 64 for word in words.random_raw(3)]
    assert values[0] == [549648, 140483, 137382]
    assert values[1] == 0.68504556411203
    assert values[2].tolist() == [2, 4, 3, 0, 1, 5]


def test_uniform_fills_its_range_evenly():
    draws = KeyedDraws(0, "uniform")
    values = np.array([draws.uniform(-2.0, 6.0) for _ in range(4000)])
    assert values.min() >= -2.0
    assert values.max() < 6.0
    counts = np.histogram(values, bins=8, range=(-2, 6))[0]
    assert abs(counts - 500).max() < 100  # 4.8 standard deviations


def test_integer_reaches_both_ends_evenly():
    draws = KeyedDraws(0, "integer")
    values, counts = np.unique([draws.integer(-1, 3) for _ in range(4000)], return_counts=True)
    assert values.tolist() == [-1, 0, 1, 2, 3]
    assert abs(counts - 800).max() < 125  # 5 standard deviations
    assert KeyedDraws(0).integer(5, 5) == 5


def test_chance_never_fires_at_0_and_always_at_1():
    draws = KeyedDraws(0, "chance")
    assert not any(draws.chance(0.0) for _ in range(100))
    assert all(draws.chance(1.0) for _ in range(100))
    assert 250 < sum(draws.chance(0.3) for _ in range(1000)) < 350


def test_permutation_gives_every_order_equally_often():
    draws = KeyedDraws(0, "permutation")
    orders, counts = np.unique(
        [draws.permutation(3) for _ in range(3000)], axis=0, return_counts=True
    )
    assert len(orders) == 6
    assert abs(counts - 500).max() < 105  # 5 standard deviations
    assert draws.permutation(0).shape == (0,)
