"""Settings of stage two: bounds, and the learning rate of a global batch."""

import pytest
from hypothesis import given
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
