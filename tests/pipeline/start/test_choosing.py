"""Student, teacher, method, crop and batch fit the scenes and the memory, for any data and machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.start.choosing import (
    DINO_BASE,
    DINO_SMALL,
    LARGEST_CROP,
    LEAST_CROP,
    LITE0,
    MEMORY_SHARE,
    RANDOM,
    VIT_SMALL,
    choose,
    crop_sizes,
    largest_batch,
    smaller,
    step_memory,
    supervised,
    without_teacher,
)
from tests.pipeline.start.drawn import (
    CHIPS,
    EVERYTHING,
    GIB,
    LAPTOP,
    SMALL_GPU,
    datasets,
    machines,
    weights,
)


@given(data=datasets, machine=machines, known=weights)
def test_crop_and_batch_fit_scenes_and_memory(data, machine, known):
    draft = choose(data, machine, known)
    crops = crop_sizes(draft.student, 10**6)
    assert draft.crop in crops
    assert draft.crop <= max(crops[-1], min(data.side, LARGEST_CROP[machine.device]))
    assert draft.batch % 2 == 0
    assert draft.batch <= largest_batch(data, draft.method)
    least = (draft.crop, draft.batch) == (crops[-1], 2)
    assert step_memory(draft) <= MEMORY_SHARE * machine.memory or least


@given(data=datasets, machine=machines, known=weights)
def test_every_choice_can_be_had_and_has_a_reason(data, machine, known):
    draft = choose(data, machine, known)
    assert draft.student_weights == known.get(draft.student.encoder, "random")
    assert (draft.teacher is not None) == (draft.method == "rs-mtdf")
    assert (draft.method == "supervised") == (data.unlabeled < 2)
    if draft.teacher is not None:
        assert draft.teacher.model in known
        assert draft.teacher.model != draft.student.encoder
        assert draft.teacher_input % draft.teacher.patch == 0
        assert 0 < draft.teacher_input <= max(draft.crop, draft.teacher.patch)
    assert all(draft.reasons.values())


@given(data=datasets, machine=machines, known=weights, more=st.integers(0, 100 * GIB))
def test_more_memory_never_gives_a_smaller_step(data, machine, known, more):
    larger = machine.model_copy(update={"memory": machine.memory + more})
    few, many = (choose(data, m, known) for m in (machine, larger))
    assert step_memory(few) <= step_memory(many)


@given(data=datasets, machine=machines, known=weights)
def test_smaller_drafts_end(data, machine, known):
    draft = choose(data, machine, known)
    for _ in range(100):
        less = smaller(draft, data, machine)
        if less is None:
            return
        assert less.crop < draft.crop
        draft = less
    raise AssertionError("drafts get smaller without an end")


def test_a_laptop_trains_a_cnn_on_small_crops_and_a_gpu_a_transformer():
    laptop, gpu = (choose(CHIPS, machine, EVERYTHING) for machine in (LAPTOP, SMALL_GPU))
    assert (laptop.student, laptop.teacher) == (LITE0, DINO_SMALL)
    assert (gpu.student, gpu.teacher) == (VIT_SMALL, DINO_BASE)
    assert laptop.crop == 224
    assert gpu.crop == 294, "chips of 300 px, in multiples of the patch"
    assert (gpu.precision, laptop.precision) == ("bf16", "fp32")
    assert step_memory(gpu) < 8 * GIB


def test_without_weights_a_small_student_learns_alone():
    draft = choose(CHIPS, SMALL_GPU, {})
    assert (draft.student, draft.student_weights, draft.teacher) == (RANDOM, "random", None)
    assert draft.method == "fixmatch"


def test_a_student_is_not_its_own_teacher():
    draft = choose(CHIPS, SMALL_GPU, {VIT_SMALL.encoder: "hub"})
    assert (draft.student, draft.teacher, draft.method) == (VIT_SMALL, None, "fixmatch")


@pytest.mark.parametrize("machine", [LAPTOP, SMALL_GPU])
def test_simpler_methods_keep_the_student_and_name_their_reason(machine):
    draft = choose(CHIPS, machine, EVERYTHING)
    alone = without_teacher(draft, CHIPS, machine, "no time")
    assert (alone.method, alone.teacher, alone.reasons["teachers"]) == ("fixmatch", None, "no time")
    plain = supervised(draft, "few steps")
    assert (plain.method, plain.teacher, plain.reasons["objective"]) == (
        "supervised",
        None,
        "few steps",
    )
    assert plain.student == alone.student == draft.student


def test_scenes_below_the_least_crop_are_padded():
    tiny = CHIPS.model_copy(update={"side": 10})
    draft = choose(tiny, LAPTOP, EVERYTHING)
    assert draft.crop == LEAST_CROP
