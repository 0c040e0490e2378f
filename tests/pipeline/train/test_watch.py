"""Warnings come once, after an epoch of intervals without effect, and not before."""

import pytest

from pipeline.train.watch import Watch
from rsmtdf_core.training.meter import Measures
from tests.pipeline.helpers import Messages


def warnings(config, intervals, epoch=10, start=0):
    """The number of steps done at each warning, with its text."""
    messages, stop = Messages(), start
    watch = Watch(config, epoch, messages)
    warned = []
    for steps, trusted, explained in intervals:
        stop += steps
        watch.step(stop - 1, Measures(steps, {"loss": 1.0}, trusted, explained))
        warned += [(stop, line) for line in messages.lines[len(warned) :]]
    return warned


@pytest.mark.parametrize("start", [0, 995])
@pytest.mark.parametrize("interval", [1, 3, 5, 30])
@pytest.mark.parametrize(("epoch", "expected"), [(1, 20), (10, 20), (35, 35)])
def test_an_epoch_without_a_trusted_pixel_warns_once(make_config, epoch, expected, interval, start):
    config = make_config("objective.confidence=0.9")
    warned = warnings(config, 40 * [(interval, (0.0, None, 0.0), {})], epoch, start)
    [(stop, line)] = warned
    assert expected <= stop - start < expected + interval
    assert "lower objective.confidence (now 0.9)" in line


def test_a_trusted_pixel_starts_the_count_again(make_config):
    low, high = (8, (0.0, 0.0), {}), (8, (0.0, 1e-6), {})
    assert warnings(make_config(), 20 * [low, low, high]) == []
    assert [stop for stop, _ in warnings(make_config(), [low, high, low, low, low])] == [40]


def test_methods_without_pseudo_labels_or_teachers_never_warn(make_config):
    assert warnings(make_config(), 50 * [(10, (), {})]) == []
    assert warnings(make_config(), 50 * [(10, (None, None), {})]) == []


@pytest.mark.parametrize(("epoch", "expected"), [(10, 100), (150, 150)])
def test_unexplained_tokens_warn_once_for_each_teacher(make_config, epoch, expected):
    low = (10, (), {"dino": -3.0, "clip": 0.4})
    warned = warnings(make_config(), 40 * [low], epoch)
    [(stop, line)] = warned
    assert stop == expected
    assert "dino" in line
    assert "raise optimiser.lr" in line
    both = warnings(make_config(), 40 * [(10, (), {"dino": 0.01, "clip": 0.0})], epoch)
    assert len(both) == 2


def test_learning_late_in_an_epoch_is_no_reason_to_warn(make_config):
    intervals = [(10, (), {"dino": -9.0 if number < 9 else 0.02}) for number in range(40)]
    assert warnings(make_config(), intervals) == []
