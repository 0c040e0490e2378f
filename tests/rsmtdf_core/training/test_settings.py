"""Settings of stage two: bounds, and the learning rate of a global batch."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from rsmtdf_core.training.settings import DistillationSettings, OptimiserSettings, TaughtSettings


@given(st.integers(1, 10_000), st.integers(1, 1000), st.floats(1e-8, 1))
def test_a_linear_rate_grows_with_the_batch_and_is_lr_at_lr_batch(total, reference, lr):
    settings = OptimiserSettings(lr=lr, scale_lr="linear", lr_batch=reference)
    assert settings.scaled_lr(reference) == pytest.approx(lr)
    assert settings.scaled_lr(2 * total) == pytest.approx(2 * settings.scaled_lr(total))
    assert OptimiserSettings(lr=lr, lr_batch=reference).scaled_lr(total) == lr


@pytest.mark.parametrize(
    "values", [{"batch": 3}, {"batch": 0}, {"lr": 0}, {"ema": 1}, {"epochs": 0}, {"lr": "nan"}]
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


@given(
    st.floats(0, 1e6),
    st.floats(0, 1e6) | st.none(),
    st.sampled_from(["linear", "cosine"]),
    st.floats(0, 1),
)
def test_the_weight_of_distillation_goes_from_its_start_to_its_end(weight, final, schedule, at):
    assume(weight or final)
    settings = DistillationSettings(weight=weight, final_weight=final, schedule=schedule)
    end = weight if final is None else final
    assert settings.weight_at(0) == weight
    assert settings.weight_at(1) == end
    assert settings.weight_at(0.5) == pytest.approx((weight + end) / 2)
    low, high = sorted([weight, end])
    assert low * (1 - 1e-9) <= settings.weight_at(at) <= high * (1 + 1e-9)
    assert (settings.weight_at(at) - weight) * (end - weight) >= -1e-9 * high**2, "no overshoot"


def test_a_schedule_is_linear_or_half_a_cosine():
    for schedule, expected in (
        ("linear", [2.0, 1.5, 1.0, 0.5, 0.0]),
        ("cosine", [1 + math.cos(math.pi * quarter / 4) for quarter in range(5)]),
    ):
        settings = DistillationSettings(weight=2, final_weight=0, schedule=schedule)
        assert [settings.weight_at(quarter / 4) for quarter in range(5)] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"weight": -1}, "weight"),
        ({"weight": "nan"}, "weight"),
        ({"final_weight": -0.5}, "final_weight"),
        ({"weight": 0}, "0 in every step"),
        ({"weight": 0, "final_weight": 0}, "0 in every step"),
        ({"teacher_weights": {"a": -1}}, "teacher_weights"),
        ({"teacher_weights": [1, 2]}, "teacher_weights"),
    ],
)
def test_weights_that_are_negative_or_never_count_are_refused(values, problem):
    with pytest.raises(ValidationError, match=problem):
        DistillationSettings(**values)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"teachers": ("sam",)}, "teachers: no teacher is named sam"),
        ({"teacher_weights": {"sam": 1}}, "teacher_weights: no teacher in use is named sam"),
        ({"teachers": ("a",), "teacher_weights": {"b": 1}}, "no teacher in use is named b"),
        ({"teacher_weights": {"a": 0, "b": 0}}, "all teachers have weight 0"),
        ({"teachers": ("a",), "teacher_weights": {"a": 0}}, "all teachers have weight 0"),
    ],
)
def test_weights_of_teachers_that_are_not_used_are_refused(values, problem):
    with pytest.raises(ValueError, match=problem):
        DistillationSettings(**values).used_teachers(["a", "b"])
    assert DistillationSettings(teacher_weights={"a": 0}).used_teachers(["a", "b"]) == ("a", "b")
