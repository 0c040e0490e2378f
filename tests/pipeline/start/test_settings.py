"""A proposal is a valid config whose learning rates, EMA and windows follow student, steps and scenes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import load_config
from pipeline.start.choosing import choose
from pipeline.start.settings import ema_decay, proposal, window
from pipeline.start.text import config_text, value_text
from pipeline.start.timing import scaled, settle
from pipeline.start.values import Choice, Timing
from rsmtdf_core.validation import parse_yaml
from tests.pipeline.start.drawn import (
    CHIPS,
    EVERYTHING,
    LAPTOP,
    SMALL_GPU,
    datasets,
    hours,
    machines,
    timings,
    weights,
)

NAMED = (
    Choice(key="name", value="mine"),
    Choice(key="data.manifest", value="/a: b/#manifest.yaml"),
    Choice(key="data.root", value="/a: b"),
)


@given(data=datasets, machine=machines, known=weights, timing=timings, hours=hours)
def test_every_proposal_is_a_valid_config(data, machine, known, timing, hours):
    measured = choose(data, machine, known)
    draft = settle(measured, data, machine, timing, hours)
    proposed = proposal(draft, data, scaled(timing, measured, draft), machine, hours)
    named = proposed.model_copy(update={"choices": (*NAMED, *proposed.choices)})
    config = load_config(parse_yaml(config_text(named), "text"))
    assert str(config.data.root) == "/a: b"
    assert config.views.crop == draft.crop
    assert config.optimiser.batch == draft.batch
    assert config.optimiser.lr == draft.student.lr
    assert config.student.encoder == draft.student.encoder
    assert config.objective.method == proposed.method
    assert [teacher.model for teacher in config.teachers] == (
        [] if draft.teacher is None else [draft.teacher.model]
    )
    assert config.evaluation.inference.window % draft.student.unit == 0
    assert proposed.steps % config.optimiser.epochs == 0


@given(steps=st.integers(1, 10**7))
def test_the_ema_averages_over_a_tenth_of_the_steps(steps):
    decay = ema_decay(steps)
    assert 0.9 <= decay <= 0.996
    if 100 <= steps <= 2500:
        assert 1 / (1 - decay) == pytest.approx(steps / 10, rel=0.02)


def test_rates_follow_the_student():
    timing = Timing(step=0.5, teacher=0.05)
    laptop, gpu, alone = (
        proposal(choose(CHIPS, machine, known), CHIPS, timing, machine, 1)
        for machine, known in ((LAPTOP, EVERYTHING), (SMALL_GPU, EVERYTHING), (LAPTOP, {}))
    )
    rates = [
        (each.value("optimiser.lr"), each.value("optimiser.multiplier"))
        for each in (laptop, gpu, alone)
    ]
    assert rates == [(5e-4, 5), (5e-6, 40), (1e-3, 1)]
    assert "random weights" in alone.cautions[0]
    assert not laptop.cautions
    assert laptop.value("views.labeled_views") == 16
    assert alone.value("views.unlabeled_views") == "fresh"


def test_windows_reach_as_far_as_the_scenes():
    laptop, gpu = (choose(CHIPS, machine, EVERYTHING) for machine in (LAPTOP, SMALL_GPU))
    assert window(laptop, CHIPS) == 288
    assert window(gpu, CHIPS) == gpu.crop
    assert window(laptop, CHIPS.model_copy(update={"side": 5000})) == 2 * laptop.crop


def test_little_time_memory_and_labels_are_named():
    poor = LAPTOP.model_copy(update={"memory": 2**30})
    blind = CHIPS.model_copy(update={"val": 0})
    draft = choose(blind, poor, EVERYTHING)
    few = proposal(draft, blind, Timing(step=5), poor, 0.2).cautions
    assert any("run out of memory" in caution for caution in few)
    assert any("--hours" in caution for caution in few)
    assert any("no validation scene" in caution for caution in few)
    none = proposal(draft, blind, Timing(step=5000), poor, 0.2).cautions
    assert any("a single epoch takes longer than 0.2 h" in caution for caution in none)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5e-6, "0.000005"),
        (0.996, "0.996"),
        (5.0, "5"),
        ("fresh", "fresh"),
        ([], "[]"),
        ("no", "'no'"),
    ],
)
def test_values_are_read_back(value, text):
    assert value_text(value) == text
    assert parse_yaml(text, "text") == value


def test_reasons_are_comments_of_one_line():
    choice = Choice(key="runtime.device", value="cpu", reason="a\nname: evil\u2028x")
    proposed = proposal(choose(CHIPS, LAPTOP, {}), CHIPS, Timing(step=1), LAPTOP, 1)
    text = config_text(proposed.model_copy(update={"choices": (choice,)}))
    assert parse_yaml(text, "text") == {"runtime": {"device": "cpu"}}
