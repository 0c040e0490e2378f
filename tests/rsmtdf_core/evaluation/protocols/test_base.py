"""Behavior shared by all protocols: quotients without warnings, valid JSON numbers, and a truth to score."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.errors import DataError
from rsmtdf_core.evaluation.protocols.base import (
    absent_classes,
    class_scores,
    number,
    ratios,
    require_truth,
)

NAMES = ("water", "road", "tree")


@given(st.lists(st.tuples(st.integers(0, 2**50), st.integers(0, 2**50)), max_size=8))
def test_quotients_are_undefined_only_without_a_denominator(pairs):
    numerators, denominators = np.array(pairs, np.int64).reshape(-1, 2).T
    quotients = ratios(numerators, denominators)
    for quotient, (above, below) in zip(quotients, pairs, strict=True):
        assert math.isnan(quotient) if below == 0 else quotient == above / below


def test_an_undefined_part_is_an_undefined_quotient():
    assert np.isnan(ratios(np.array([1.0]), np.array([np.nan]))).all()


@given(st.floats())
def test_numbers_are_ones_that_json_knows(value):
    plain = number(np.float64(value))
    assert plain is None if math.isnan(value) else plain == value
    assert type(plain) in (float, type(None))


def test_each_class_has_a_row():
    measures = {
        name: np.array([0.25, np.nan, 1]) + offset
        for offset, name in enumerate(("iou", "f1", "precision", "recall"))
    }
    rows = class_scores(NAMES, np.array([True, False, True]), np.array([5, 0, 7]), measures)
    assert [(row.name, row.scored, row.support) for row in rows] == [
        *(("water", True, 5), ("road", False, 0), ("tree", True, 7)),
    ]
    assert [rows[0].iou, rows[0].f1, rows[0].precision, rows[0].recall] == [0.25, 1.25, 2.25, 3.25]
    assert [rows[1].iou, rows[1].recall] == [None, None]
    assert json.loads(rows[2].model_dump_json())["recall"] == 4


def test_a_truth_needs_a_pixel_of_a_scored_class():
    scored = np.array([True, False])
    require_truth(np.array([1, 0]), scored)
    for support in ([0, 9], [0, 0]):
        with pytest.raises(DataError, match="nothing to score"):
            require_truth(np.array(support), scored)


def test_absent_classes_are_named_in_their_order():
    assert absent_classes(NAMES, np.array([True, False, True])) == ("water", "tree")
