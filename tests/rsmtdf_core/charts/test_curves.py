"""Curves of metrics: numbers alone, and running means that stay within the values."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.charts.curves import metric_curve, metric_keys, metric_names, smoothed, thinned

values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400)


def test_metrics_that_are_no_numbers_are_left_out():
    lines = [{"step": 0, "loss": 1.0}, {"step": 1, "loss": math.nan}, {"step": 2, "other": 3}]
    assert metric_curve(lines, "loss", scale=100) == [(1, 100.0)]
    assert metric_curve([{"loss": 1.0}, {"step": 1, "loss": "x"}], "loss") == []


def test_metrics_are_found_by_a_word_in_their_name():
    lines = [{"step": 0, "Loss_x": 1.0, "lr": 0.1}, {"step": 1, "loss": 2.0, "loss_u": None}]
    assert metric_names(lines, "loss") == ["Loss_x", "loss"]


@given(values)
def test_running_means_stay_within_the_values(numbers):
    curve = np.array(numbers)
    means = smoothed(curve)
    assert means.shape == curve.shape
    slack = 1e-6 * max(1.0, np.abs(curve).max())
    assert (means >= curve.min() - slack).all()
    assert (means <= curve.max() + slack).all()
    if len(numbers) < 30:
        assert (means == curve).all()


def test_values_by_class_are_found_by_their_key():
    lines = [
        {"step": 0, "shares": {"road": None, "tree": 0.5}},
        {"step": 1, "shares": 3.0},
        {"step": 2, "shares": {"roof": 1.0, "tree": math.inf}},
    ]
    assert metric_keys(lines, "shares") == ["tree", "roof"]
    assert metric_curve(lines, "shares", "tree", scale=100) == [(1, 50.0)]
    assert metric_curve(lines, "shares") == [(2, 3.0)]


@given(values, st.integers(1, 50))
def test_a_thinned_curve_keeps_its_mean_and_its_range(numbers, most):
    curve, steps = np.array(numbers), np.arange(len(numbers), dtype=float)
    thin_steps, thin = thinned(steps, curve, most)
    assert len(thin_steps) == len(thin) == min(most, len(curve))
    assert (np.diff(thin_steps) > 0).all()
    slack = 1e-6 * max(1.0, np.abs(curve).max())
    assert curve.min() - slack <= thin.min() <= thin.max() <= curve.max() + slack
    if len(curve) <= most:
        assert (thin == curve).all()
