"""Differences over folds are clear only if they are large against their spread."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.probing.spread import MOST_FOLDS, paired_difference

scores = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=MOST_FOLDS)


@given(scores)
def test_the_difference_changes_its_sign_with_the_order(pairs):
    first, second = zip(*pairs, strict=True)
    forward, backward = paired_difference(first, second), paired_difference(second, first)
    assert forward.mean == pytest.approx(-backward.mean)
    assert forward.margin == pytest.approx(backward.margin)
    assert forward.is_clear == backward.is_clear
    assert forward.wins <= forward.folds == len(pairs)


def test_the_margin_is_that_of_the_corrected_t_interval():
    difference = paired_difference([0.5, 0.6, 0.7], [0.4, 0.4, 0.4])
    # s = 0.1, t(0.975, 2) = 4.303, 1/3 + 1/2
    assert difference.mean == pytest.approx(0.2)
    assert difference.margin == pytest.approx(4.303 * 0.1 * math.sqrt(5 / 6))
    assert not difference.is_clear
    assert paired_difference([0.5, 0.51, 0.52], [0.3, 0.3, 0.3]).is_clear


def test_folds_without_both_scores_are_skipped():
    assert paired_difference([0.5, None, 0.7], [0.4, 0.1, None]).folds == 1
    assert paired_difference([None], [0.3]).folds == 0
    assert not paired_difference([0.9, None], [0.1, 0.2]).is_clear
