"""NaN and infinity in losses, gradients and weights are noticed with their name and step."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rsmtdf_core.training.finite import GRADIENTS, Divergence, FiniteCheck
from rsmtdf_core.weights.finite import not_finite

BAD = (torch.nan, torch.inf, -torch.inf)


def check_of(*gradients):
    """A check over parameters with these gradients; None is a parameter without one."""
    parameters = []
    for gradient in gradients:
        parameter = nn.Parameter(torch.zeros(3))
        parameter.grad = None if gradient is None else torch.full((3,), float(gradient))
        parameters.append(parameter)
    return FiniteCheck(parameters, torch.device("cpu"))


def losses_of(**losses):
    return {name: torch.tensor(float(loss)) for name, loss in losses.items()}


def test_finite_steps_are_no_divergence():
    check = check_of(1.0, None, 1e15)
    assert check.divergence(check.first) is None
    for step in range(3):
        check.update(step, losses_of(loss=3e38, loss_x=-1))
    assert check.divergence(check.first) is None


@pytest.mark.parametrize("bad", BAD)
def test_the_part_at_fault_is_named_and_not_the_sum(bad):
    check = check_of(0.0)
    check.update(4, losses_of(loss=1, loss_x=1, loss_u=1))
    check.update(5, losses_of(loss=bad, loss_x=1, loss_u=bad))
    check.update(6, losses_of(loss=bad, loss_x=bad, loss_u=bad))
    assert check.divergence(check.first) == Divergence(5, ("loss_u",))


@pytest.mark.parametrize("bad", BAD)
def test_a_gradient_alone_is_named(bad):
    check = check_of(1.0, bad)
    check.update(0, losses_of(loss=1))
    assert check.divergence(check.first) == Divergence(0, (GRADIENTS,))


def test_gradients_whose_squares_overflow_count():
    check = check_of(1e30)
    check.update(0, losses_of(loss=1))
    assert check.divergence(check.first) == Divergence(0, (GRADIENTS,))


def test_overflowing_gradients_do_not_count_under_a_grad_scaler():
    check = check_of(torch.inf)
    check.update(0, losses_of(loss=1), gradients=False)
    assert check.divergence(check.first) is None
    check.update(1, losses_of(loss=torch.nan), gradients=False)
    assert check.divergence(check.first) == Divergence(1, ("loss",))


@given(st.lists(st.sampled_from([0.0, 1e30, *BAD]), min_size=1, max_size=20))
def test_the_first_bad_step_is_remembered(losses):
    check = check_of(0.0)
    for step, loss in enumerate(losses):
        check.update(step, losses_of(loss=loss))
    first = next((step for step, loss in enumerate(losses) if loss not in (0.0, 1e30)), None)
    divergence = check.divergence(check.first)
    assert divergence == (None if first is None else Divergence(first, ("loss",)))


@pytest.mark.parametrize("bad", BAD)
def test_tensors_that_are_not_finite_are_named(bad):
    tensors = {"a": torch.ones(3), "count": torch.tensor(7), "b": torch.tensor([1.0, bad])}
    assert not_finite(tensors) == ["b"]
    assert not_finite({"count": torch.tensor(7)}) == []
