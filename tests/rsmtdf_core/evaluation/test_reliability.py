"""Bins of confidence agree with torchmetrics, whatever the order and size of the scenes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_calibration_error

from rsmtdf_core.evaluation import reliability
from rsmtdf_core.evaluation.reliability import BINS, ReliabilityCounter


def draw(seed: int, classes: int, shape: tuple[int, int]) -> tuple[torch.Tensor, np.ndarray]:
    draws = np.random.default_rng(seed)
    logits = torch.from_numpy(draws.normal(0, 3, (classes, *shape)).astype(np.float32))
    truth = draws.integers(0, classes, shape).astype(np.uint8)
    truth[draws.random(shape) < 0.2] = 255
    return logits, truth


@settings(max_examples=25)
@given(st.integers(0, 2**16), st.integers(2, 7), st.sampled_from([0.5, 1.0, 2.5]))
def test_the_error_is_that_of_torchmetrics_over_all_pixels(seed, classes, temperature):
    scenes = [draw(seed + number, classes, shape) for number, shape in enumerate([(9, 7), (4, 12)])]
    counter = ReliabilityCounter(temperature, 255)
    for logits, truth in scenes:
        counter.add(logits, truth)
    logits = torch.cat([logits.flatten(1) for logits, _ in scenes], dim=1)
    truth = torch.cat([torch.from_numpy(truth.ravel().astype(np.int64)) for _, truth in scenes])
    expected = multiclass_calibration_error(
        (logits.T / temperature).softmax(dim=1), truth, classes, n_bins=BINS, ignore_index=255
    )
    result = counter.reliability
    assert result.ece == pytest.approx(float(expected), abs=1e-5)
    assert sum(entry.pixels for entry in result.bins) == int((truth != 255).sum())
    assert result.temperature == temperature
    for number, entry in enumerate(result.bins):
        if entry.pixels:
            assert number / BINS - 1e-6 <= entry.confidence <= (number + 1) / BINS + 1e-6


def test_rows_are_counted_in_parts_with_the_same_result(monkeypatch):
    logits, truth = draw(0, 4, (31, 17))
    whole, parts = ReliabilityCounter(1.0, 255), ReliabilityCounter(1.0, 255)
    whole.add(logits, truth)
    monkeypatch.setattr(reliability, "_BAND_PIXELS", 40)
    parts.add(logits, truth)
    assert parts.reliability.ece == pytest.approx(whole.reliability.ece, rel=1e-6)
    counts = [[entry.pixels for entry in item.reliability.bins] for item in (whole, parts)]
    assert counts[0] == counts[1]


def test_a_model_that_is_sure_and_half_right_has_an_error_of_one_half():
    logits = torch.tensor([1e4, 0.0])[:, None, None].expand(2, 1, 4)
    counter = ReliabilityCounter(1.0, 255)
    counter.add(logits, np.array([[0, 1, 0, 1]], np.uint8))
    assert counter.reliability.ece == pytest.approx(0.5)
    assert counter.reliability.bins[-1].pixels == 4


def test_without_labeled_pixels_there_is_no_error():
    counter = ReliabilityCounter(1.0, 255)
    counter.add(torch.zeros(2, 1, 3), np.full((1, 3), 255, np.uint8))
    assert counter.reliability.ece == 0
    assert not any(entry.pixels for entry in counter.reliability.bins)
