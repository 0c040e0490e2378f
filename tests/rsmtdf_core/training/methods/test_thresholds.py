"""Self-adaptive thresholds against the recursion of the paper, step by step in float64."""

import numpy as np
import pytest
import torch

from rsmtdf_core.training.methods.thresholds import SelfAdaptiveThresholds

CLASSES, MOMENTUM = 3, 0.9
CPU = torch.device("cpu")


def alone(tensor):
    return tensor


def steps(count):
    """Probabilities [B, C, H, W] that prefer class 0, and valid pixels, by step."""
    torch.manual_seed(0)
    for _ in range(count):
        logits = torch.randn(4, CLASSES, 5, 5) + torch.tensor([2.0, 0.0, -1.0]).view(1, -1, 1, 1)
        yield logits.softmax(dim=1), torch.rand(4, 5, 5) > 0.3


def test_thresholds_follow_the_recursion_and_favor_no_class_at_first():
    thresholds = SelfAdaptiveThresholds(CLASSES, MOMENTUM, CPU)
    torch.testing.assert_close(thresholds.by_class, torch.full((CLASSES,), 1 / CLASSES))
    confidence, chances = 1 / CLASSES, np.full(CLASSES, 1 / CLASSES)
    for probabilities, valid in steps(20):
        thresholds.observe(probabilities, valid)
        thresholds.end_step(alone)
        pixels = probabilities.double().permute(0, 2, 3, 1)[valid].numpy()
        confidence = MOMENTUM * confidence + (1 - MOMENTUM) * pixels.max(axis=1).mean()
        chances = MOMENTUM * chances + (1 - MOMENTUM) * pixels.mean(axis=0)
        expected = chances / chances.max() * confidence
        np.testing.assert_allclose(thresholds.by_class.numpy(), expected, rtol=1e-5)
    by_class = thresholds.by_class
    assert by_class[0] > by_class[1] > by_class[2], "a rare class needs less confidence"
    assert float(by_class[0]) == pytest.approx(confidence)


def test_thresholds_change_only_after_all_parts_and_parts_give_those_of_the_whole():
    whole, parted = (SelfAdaptiveThresholds(CLASSES, MOMENTUM, CPU) for _ in range(2))
    for probabilities, valid in steps(5):
        whole.observe(probabilities, valid)
        before = parted.by_class
        for part in (slice(0, 1), slice(1, 4)):
            parted.observe(probabilities[part], valid[part])
            assert torch.equal(parted.by_class, before)
        whole.end_step(alone)
        parted.end_step(alone)
    torch.testing.assert_close(whole.by_class, parted.by_class, rtol=1e-9, atol=0)


def test_processes_that_share_their_sums_have_the_thresholds_of_one():
    whole, first, second = (SelfAdaptiveThresholds(CLASSES, MOMENTUM, CPU) for _ in range(3))
    for probabilities, valid in steps(5):
        whole.observe(probabilities, valid)
        whole.end_step(alone)
        first.observe(probabilities[:1], valid[:1])
        second.observe(probabilities[1:], valid[1:])
        total = first._sums + second._sums
        for process in (first, second):
            process.end_step(lambda _, total=total: total)
    for process in (first, second):
        torch.testing.assert_close(process.by_class, whole.by_class, rtol=1e-9, atol=0)


def test_a_step_without_valid_pixels_changes_no_threshold():
    thresholds = SelfAdaptiveThresholds(CLASSES, MOMENTUM, CPU)
    (probabilities, valid), *_ = steps(1)
    thresholds.observe(probabilities, valid)
    thresholds.end_step(alone)
    before = thresholds.by_class
    thresholds.observe(probabilities, torch.zeros_like(valid))
    thresholds.end_step(alone)
    assert torch.equal(thresholds.by_class, before)


def test_a_state_that_is_restored_in_place_goes_on_alike():
    first, second = (SelfAdaptiveThresholds(CLASSES, MOMENTUM, CPU) for _ in range(2))
    for number, (probabilities, valid) in enumerate(steps(6)):
        first.observe(probabilities, valid)
        first.end_step(alone)
        if number == 2:
            for name, tensor in second.state.items():
                tensor.copy_(first.state[name])
        elif number > 2:
            second.observe(probabilities, valid)
            second.end_step(alone)
    assert torch.equal(first.by_class, second.by_class)
