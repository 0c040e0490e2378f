"""Settings of stage two: bounds, and the learning rate of a global batch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rsmtdf_core.training.settings import DistillationSettings, OptimiserSettings, TaughtSettings


@given(st.integers(1, 10_000), st.integers(1, 1000), st.floats(1e-8, 1))
def test_a_linear_rate_grows_with_the_batch_and_is_lr_at_its_own(total, reference, lr):
    settings = OptimiserSettings(lr=lr, scale_lr="linear", lr_batch=reference)
    assert settings.scaled_lr(reference) == pytest.approx(lr)
    assert settings.scaled_lr(2 * total) == pytest.approx(2 * settings.scaled_lr(total))
    assert OptimiserSettings(lr=lr, lr_batch=reference).scaled_lr(total) == lr


@given(st.floats(1e-8, 1), st.floats(0, 3), st.integers(1, 400), st.data())
def test_by_default_the_rate_decays_polynomially_from_lr_to_nearly_0(lr, power, total, data):
    settings = OptimiserSettings(lr=lr, power=power)
    step = data.draw(st.integers(0, total - 1))
    assert settings.lr_at(0, total, 8) == lr
    assert settings.lr_at(step, total, 8) == lr * (1 - step / total) ** power


@given(st.integers(1, 300), st.data())
def test_a_warm_up_rises_linearly_to_the_decay_and_then_leaves_it_alone(total, data):
    steps = data.draw(st.integers(1, total))
    plain, warmed = OptimiserSettings(power=0.9), OptimiserSettings(power=0.9, warmup=steps)
    assert warmed.warmup_steps(total) == steps
    shares = [warmed.lr_at(step, total, 8) / plain.lr_at(step, total, 8) for step in range(total)]
    assert shares[:steps] == pytest.approx([(step + 1) / steps for step in range(steps)])
    assert shares[steps - 1 :] == [1] * (total - steps + 1)
    constant = OptimiserSettings(power=0, warmup=steps)
    rates = [constant.lr_at(step, total, 8) for step in range(total)]
    assert rates == sorted(rates)


@given(st.floats(0.001, 0.999), st.integers(1, 10_000))
def test_a_share_of_the_steps_is_at_least_that_share(share, total):
    steps = OptimiserSettings(warmup=share).warmup_steps(total)
    assert share * total <= steps < share * total + 1
    assert 1 <= steps <= total


@given(st.integers(2, 300), st.sampled_from([0, 5, 0.2]), st.data())
def test_a_delayed_rate_is_that_of_the_step_before(total, warmup, data):
    settings = {"warmup": warmup, "lr": 0.1}
    prompt, delayed = OptimiserSettings(**settings), OptimiserSettings(**settings, lr_delay=1)
    step = data.draw(st.integers(1, total - 1))
    assert delayed.lr_at(0, total, 8) == prompt.lr_at(0, total, 8)
    assert delayed.lr_at(step, total, 8) == prompt.lr_at(step - 1, total, 8)


def test_the_rate_grows_with_the_global_batch_if_it_scales():
    settings = OptimiserSettings(lr=0.1, scale_lr="linear", lr_batch=32, warmup=4)
    assert settings.lr_at(0, 100, 64) == pytest.approx(0.2 / 4)


@pytest.mark.parametrize(
    "values",
    [
        *({"batch": 3}, {"batch": 0}, {"lr": 0}, {"ema": 1}, {"epochs": 0}, {"lr": "nan"}),
        *({"warmup": -1}, {"warmup": 1.5}, {"warmup": "nan"}, {"lr_delay": 2}),
        *({"layer_decay": 0}, {"layer_decay": 1.1}, {"layer_decay": "nan"}),
    ],
)
def test_values_that_cannot_train_are_refused_by_key(values):
    with pytest.raises(ValidationError, match=next(iter(values))):
        OptimiserSettings(**values)


def test_no_teacher_is_not_a_choice_of_teachers():
    with pytest.raises(ValidationError, match="teachers"):
        DistillationSettings(teachers=())
    assert DistillationSettings().teachers is None


def test_a_method_with_tokens_uses_every_teacher_by_default():
    assert TaughtSettings(method="rs-mtdf").used_teachers(["a", "b"]) == ("a", "b")
