"""Settings of stage two: bounds, and the learning rate of a global batch."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from rsmtdf_core.kinds import METHODS
from rsmtdf_core.roles import unheeded
from rsmtdf_core.training.settings import DistillationSettings, OptimiserSettings, TaughtSettings


@given(st.integers(1, 10_000), st.integers(1, 1000), st.floats(1e-8, 1))
def test_a_linear_rate_grows_with_the_batch_and_is_lr_at_lr_batch(total, reference, lr):
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


@pytest.mark.parametrize("method", ["fixmatch", "unimatch-v2", "rs-mtdf"])
@pytest.mark.parametrize(
    ("keys", "ineffective"),
    [
        ({}, None),
        ({"confidence": 0.9}, None),
        ({"confidence": 0.95, "thresholds": "self-adaptive"}, "confidence"),
        ({"thresholds": "self-adaptive", "threshold_momentum": 0.9}, None),
        ({"threshold_momentum": 0.9}, "threshold_momentum"),
        ({"region_weight": 2.0}, "region_weight"),
        ({"region_weight": 2.0, "region_loss": "dice"}, None),
        ({"pretrain": {"lr": 1e-3}}, "pretrain.lr"),
        ({"pretrain": {"lr": 1e-3, "steps": 2}}, None),
        (
            {"pretrain": {"steps": 2, "distillation": {"schedule": "cosine"}}},
            "pretrain.distillation.schedule",
        ),
    ],
)
def test_keys_that_others_make_ineffective_are_named(method, keys, ineffective):
    settings = METHODS[method].settings.model_validate({"method": method, **keys})
    sentences = list(unheeded(settings))
    assert [sentence.split(" has no effect ")[0] for sentence in sentences] == (
        [ineffective] if ineffective else []
    )


@pytest.mark.parametrize("final", [None, 0.5])
def test_a_schedule_needs_a_final_weight(final):
    keys = {"schedule": "linear"} | ({} if final is None else {"final_weight": final})
    settings = METHODS["distill"].settings
    settings = settings.model_validate({"method": "distill", "distillation": keys})
    expected = (
        "distillation.schedule has no effect without final_weight, as the weight is then constant"
    )
    assert list(unheeded(settings)) == ([] if final else [expected])


@pytest.mark.parametrize("method", METHODS)
def test_the_defaults_of_a_method_have_no_key_without_effect_when_a_run_records_them(method):
    settings = METHODS[method].settings
    recorded = settings.model_validate({"method": method}).model_dump(mode="json")
    assert list(unheeded(settings.model_validate(recorded))) == []
