"""Views, epochs and methods fit the time, for any data, machine and measured times."""

from hypothesis import given

from pipeline.start.choosing import choose
from pipeline.start.timing import (
    EXTRACTION_SHARE,
    VALIDATION_SHARE,
    VALIDATIONS,
    cached_views,
    is_enough,
    scaled,
    schedule,
    settle,
    steps_per_epoch,
    validation_seconds,
    view_bytes,
)
from pipeline.start.values import Timing
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


@given(data=datasets, machine=machines, known=weights, timing=timings, hours=hours)
def test_a_training_fits_the_time_unless_it_has_a_single_epoch(data, machine, known, timing, hours):
    draft = choose(data, machine, known)
    plan = schedule(draft, data, timing, machine, hours)
    assert plan.steps == plan.epochs * steps_per_epoch(draft, data)
    assert 1 <= plan.every <= plan.epochs
    assert -(-plan.epochs // plan.every) <= VALIDATIONS
    seconds = plan.extraction_seconds + plan.training_seconds
    assert plan.epochs == 1 or seconds <= 3600 * hours


def test_expensive_validations_are_rarer():
    large = CHIPS.model_copy(update={"val_megapixels": 100.0})
    draft = choose(large, LAPTOP, EVERYTHING)
    plan = schedule(draft, large, Timing(step=1), LAPTOP, 1)
    few = -(-plan.epochs // plan.every)
    assert few * validation_seconds(draft, large, Timing(step=1)) <= VALIDATION_SHARE * 3600
    assert few < VALIDATIONS


@given(data=datasets, machine=machines, known=weights, timing=timings, hours=hours)
def test_more_time_never_gives_fewer_steps_or_views(data, machine, known, timing, hours):
    draft = choose(data, machine, known)
    short, long = (
        cached_views(draft, data, timing, machine, budget) for budget in (hours, 2 * hours)
    )
    assert short <= long
    alone = Timing(step=timing.step)
    first, second = (
        schedule(draft, data, alone, machine, budget).steps for budget in (hours, 2 * hours)
    )
    assert first <= second


@given(data=datasets, machine=machines, known=weights, timing=timings, hours=hours)
def test_cached_views_fit_time_and_disk(data, machine, known, timing, hours):
    draft = choose(data, machine, known)
    views = cached_views(draft, data, timing, machine, hours)
    scenes = data.labeled + data.unlabeled
    assert views * scenes * timing.teacher <= EXTRACTION_SHARE * 3600 * hours
    assert views * scenes * view_bytes(draft) <= machine.disk


@given(data=datasets, machine=machines, known=weights, timing=timings, hours=hours)
def test_a_settled_draft_has_enough_steps_or_nothing_cheaper(data, machine, known, timing, hours):
    draft = choose(data, machine, known)
    settled = settle(draft, data, machine, timing, hours)
    times = scaled(timing, draft, settled)
    plan = schedule(settled, data, times, machine, hours)
    assert is_enough(plan) or settled.method == "supervised"
    assert settled.teacher is None or plan.views > 0
    assert settle(settled, data, machine, times, hours) == settled


def test_slow_machines_get_smaller_crops_then_a_simpler_method():
    draft = choose(CHIPS, LAPTOP, EVERYTHING)
    fast = settle(draft, CHIPS, LAPTOP, Timing(step=0.5, teacher=0.05), 1)
    assert fast == draft
    slow = settle(draft, CHIPS, LAPTOP, Timing(step=8, teacher=0.05), 1)
    assert (slow.method, slow.crop) == ("rs-mtdf", 160)
    slower = settle(draft, CHIPS, LAPTOP, Timing(step=60, teacher=0.05), 1)
    assert (slower.method, slower.crop, slower.teacher) == ("supervised", 128, None)


def test_a_slow_teacher_is_left_out():
    draft = choose(CHIPS, SMALL_GPU, EVERYTHING)
    settled = settle(draft, CHIPS, SMALL_GPU, Timing(step=0.1, teacher=60), 1)
    assert settled.method == "fixmatch"
    assert "4 cached views" in settled.reasons["teachers"]


def test_an_epoch_is_a_pass_over_unlabeled_or_labeled_scenes():
    draft = choose(CHIPS, LAPTOP, EVERYTHING)
    assert steps_per_epoch(draft, CHIPS) == 94 // draft.batch
    alone = CHIPS.model_copy(update={"unlabeled": 0})
    draft = choose(alone, LAPTOP, EVERYTHING)
    assert steps_per_epoch(draft, alone) == -(-100 // draft.batch)
