"""Means over an interval are those of all its steps, however these are cut into parts, processes and sessions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rsmtdf_core.training.meter import Measures, Meter

CLASSES, SAMPLES, SIDE, CHANNELS = 4, 36, 3, 3  # samples for 1, 2 or 3 processes and parts


def added(*sums):
    """The sums of several processes."""
    names = {name for each in sums for name in each}
    return {name: sum(each[name] for each in sums) for name in names}


class Steps:
    """Random steps with two teachers; the second has tokens that do not count, and are NaN."""

    def __init__(self, count, seed=0):
        random = torch.Generator().manual_seed(seed)
        self.losses = torch.rand(count, 2, generator=random, dtype=torch.float64)
        shape = (count, SAMPLES, SIDE, SIDE)
        self.labels = torch.randint(0, CLASSES - 1, shape, generator=random)
        self.valid = torch.rand(shape, generator=random) > 0.2
        self.trusted = (torch.rand(shape, generator=random) > 0.5) & self.valid
        offset = 100 * torch.rand(CHANNELS, generator=random)
        self.teacher = torch.randn(*shape, CHANNELS, generator=random) + offset
        self.student = self.teacher + torch.randn(*shape, CHANNELS, generator=random)
        self.kept = torch.rand(shape, generator=random) > 0.3
        self.thresholds = torch.rand(count, CLASSES, generator=random)

    def measure(self, meter, step, samples=slice(None)):
        holed = torch.where(self.kept[step][..., None], self.teacher[step], torch.nan)
        meter.pseudo_labels(
            self.labels[step][samples],
            self.trusted[step][samples],
            self.valid[step][samples],
            CLASSES,
        )
        meter.thresholds(self.thresholds[step], len(self.labels[step][samples]))
        meter.tokens(
            {"whole": self.student[step][samples], "holed": self.student[step][samples]},
            {"whole": self.teacher[step][samples], "holed": holed[samples]},
            {"whole": None, "holed": self.kept[step][samples]},
        )

    def end(self, meter, step):
        x, u = self.losses[step]
        meter.step({"loss": x + u, "loss_x": x})


def expected_variance(student, teacher):
    spread = ((teacher - teacher.mean(0)) ** 2).sum()
    return 1 - ((student - teacher) ** 2).sum() / spread


def assert_right(measures, steps):
    count = len(steps.losses)
    assert measures.steps == count
    assert measures.losses["loss"] == pytest.approx(float(steps.losses.sum(1).mean()))
    assert measures.losses["loss_x"] == pytest.approx(float(steps.losses[:, 0].mean()))
    for number, share in enumerate(measures.trusted[:-1]):
        labeled = (steps.labels == number) & steps.valid
        assert share == pytest.approx(float(steps.trusted[labeled].double().mean()))
    assert measures.trusted[-1] is None, "no pixel has the last class"
    expected = steps.thresholds.double().mean(0).tolist()
    assert measures.thresholds == pytest.approx(expected)
    student, teacher = steps.student.double().numpy(), steps.teacher.double().numpy()
    for name, mask in (("whole", np.ones(steps.kept.shape, bool)), ("holed", steps.kept.numpy())):
        expected = expected_variance(student[mask], teacher[mask])
        assert measures.explained[name] == pytest.approx(expected, abs=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 7), st.sampled_from([1, 2, 3]), st.sampled_from([1, 2, 3]), st.data())
def test_means_do_not_depend_on_parts_processes_and_checkpoints(count, processes, parts, data):
    steps = Steps(count)
    checkpoint = data.draw(st.integers(0, count))
    meters = [Meter(processes) for _ in range(processes)]
    size = SAMPLES // (processes * parts)
    for step in range(count):
        if step == checkpoint:
            kept = added(*[meter.sums for meter in meters])
            processes = data.draw(st.sampled_from([1, 2, 3]))
            size = SAMPLES // (processes * parts)
            meters = [Meter(processes) for _ in range(processes)]
            for number, meter in enumerate(meters):
                meter.load({name: tensor * (number == 0) for name, tensor in kept.items()})
        for number, meter in enumerate(meters):
            for part in range(parts):
                first = (number * parts + part) * size
                steps.measure(meter, step, slice(first, first + size))
            steps.end(meter, step)
    assert_right(Measures.of(added(*[meter.sums for meter in meters])), steps)


def test_one_step_in_one_process_has_its_exact_losses():
    meter, loss = Meter(), torch.rand((), dtype=torch.float32)
    meter.step({"loss": loss})
    measures = Measures.of(meter.sums)
    assert measures.losses == {"loss": float(loss)}
    assert measures.trusted == ()
    assert measures.thresholds == ()
    assert measures.explained == {}


def test_a_new_interval_forgets_the_last():
    meter = Meter()
    meter.step({"loss": torch.tensor(3.0)})
    meter.clear()
    meter.step({"loss": torch.tensor(1.0)})
    assert Measures.of(meter.sums).losses == {"loss": 1.0}


@pytest.mark.parametrize("kept", [False, True])
def test_tokens_without_variance_have_no_score(kept):
    meter, tokens = Meter(), torch.full((1, 2, 2, 3), 0.1)
    mask = torch.full((1, 2, 2), kept)
    meter.tokens({"dino": tokens + 1}, {"dino": tokens}, {"dino": mask})
    assert Measures.of(meter.sums).explained == {}


def test_a_student_that_predicts_the_mean_explains_nothing():
    teacher = torch.randn(4, 3, 3, 8, generator=torch.Generator().manual_seed(1)) + 50
    mean = teacher.mean(dim=(0, 1, 2)).expand_as(teacher)
    meter = Meter()
    meter.tokens({"a": mean, "b": teacher}, {"a": teacher, "b": teacher})
    explained = Measures.of(meter.sums).explained
    assert explained["a"] == pytest.approx(0, abs=1e-5)
    assert explained["b"] == 1
