"""Three steps of the loop are three steps of the method, whatever parts they are computed in."""

from contextlib import contextmanager

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from rsmtdf_core.scenes.find import Scene
from rsmtdf_core.student.model import Student
from rsmtdf_core.student.settings import StudentSettings
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.training.data import Batch
from rsmtdf_core.training.ema import ema_copy
from rsmtdf_core.training.loop import Training, make_optimiser
from rsmtdf_core.training.methods.rows import RsMtdfSettings
from rsmtdf_core.training.methods.rs_mtdf import RsMtdf
from rsmtdf_core.training.schedule import BatchSchedule
from rsmtdf_core.training.settings import OptimiserSettings
from rsmtdf_core.training.targets import Targets
from rsmtdf_core.views.plan import make_plan
from rsmtdf_core.views.settings import ViewSettings
from tests.rsmtdf_core.training.plain import PlainTraining, normalised

CROP, CLASSES, SAMPLES, STEPS, TOLERANCE = 64, 4, 4, 3, 1e-5
TEACHERS = [TokenShape("dino", 4, 4, 12), TokenShape("clip", 2, 2, 10, input_size=32)]
CONFIDENCE = 0.27


def _batch(step):
    torch.manual_seed(100 + step)
    images = torch.randint(0, 256, (3, SAMPLES, 3, CROP, CROP), dtype=torch.uint8)
    masks = torch.randint(0, CLASSES, (SAMPLES, CROP, CROP), dtype=torch.uint8)
    masks[0, :20] = 255
    masks[2, :, 50:] = 255
    valid = torch.ones(2 * SAMPLES, CROP, CROP, dtype=torch.bool)
    valid[SAMPLES + 1, 40:] = False
    pasted = torch.zeros(1, SAMPLES, CROP, CROP, dtype=torch.bool)
    pasted[0, 0, 10:40, 5:50] = True
    pasted[0, 3, 30:, 30:] = True
    return Batch(step, 0, SAMPLES, images[0], masks, images[1], images[2][None], pasted, valid)


def _tokens(step):
    torch.manual_seed(200 + step)
    return {
        shape.teacher: torch.randn(2 * SAMPLES, shape.height, shape.width, shape.channels)
        for shape in TEACHERS
    }


class _Pixels:
    def __init__(self, schedule):
        self.schedule = schedule

    @contextmanager
    def opened(self, start, stop):
        yield (_batch(step) for step in range(start, stop))


class _Targets:
    @contextmanager
    def opened(self, schedule, start, stop):
        steps = iter(range(start, stop))
        yield lambda _rows, _images: Targets(_tokens(next(steps)), None)


def _training(parts):
    torch.manual_seed(0)
    student = Student(
        StudentSettings(encoder="test_vit", weights="random"), CLASSES, CROP, TEACHERS
    )
    assert student.second_sizes == {"dino": None, "clip": 32}
    scenes = [Scene(f"s{i}", f"{i}.png", None, 64, 64) for i in range(8)]
    plan = make_plan(scenes[:4], scenes[4:], ViewSettings(crop=CROP), seed=0)
    settings = OptimiserSettings(epochs=STEPS, batch=SAMPLES)
    AcceleratorState._reset_state(reset_partial_state=True)
    return Training(
        accelerator=Accelerator(cpu=True),
        student=student,
        ema=ema_copy(student),
        optimiser=make_optimiser(student, settings),
        objective=RsMtdf(RsMtdfSettings(method="rs-mtdf", confidence=CONFIDENCE), 255, seed=0),
        pixels=_Pixels(BatchSchedule(plan, SAMPLES, 0)),
        targets=_Targets(),
        settings=settings,
        parts=parts,
    )


def relative_error(actual, expected):
    return float((actual.double() - expected).abs().max() / expected.abs().max().clamp(min=1e-12))


def _plain(training):
    return PlainTraining(
        training.student,
        lr=5e-6,
        multiplier=40,
        decay=0.01,
        power=0.9,
        total=STEPS,
        ema_limit=0.996,
        confidence=CONFIDENCE,
    )


@pytest.mark.parametrize("parts", [1, 2])
def test_losses_gradients_weights_and_average_are_those_of_the_plain_method(parts, monkeypatch):
    training = _training(parts)
    # All in float64: in float32 a ReLU at 1e-8 may be active on only one side, and if a gradient is nearly 0 (an
    # attention's key bias) AdamW, which divides by its size, would amplify the rounding.
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    training.student.double(), training.ema.double()
    monkeypatch.setattr(training.ema, "normalise", normalised)
    plain = _plain(training)
    before = {
        name: parameter.detach().clone() for name, parameter in training.student.named_parameters()
    }
    gradients = {}
    # The loop clears them right after the optimiser's step.
    monkeypatch.setattr(
        training.optimiser,
        "zero_grad",
        lambda set_to_none: gradients.update(_taken(training.student)),
    )
    for record in training.steps():
        losses, expected = plain.step(record.step, _batch(record.step), _tokens(record.step))
        _compare_losses(record, losses)
        for name, gradient in expected.items():
            assert relative_error(gradients[name], gradient) < TOLERANCE, name
        for ours, theirs in ((training.student, plain.student), (training.ema, plain.ema)):
            for (name, parameter), other in zip(
                ours.named_parameters(), theirs.parameters(), strict=True
            ):
                assert relative_error(parameter.detach(), other.detach()) < TOLERANCE, name
    # Weights move by far more than that error allows to hide.
    moved = [
        relative_error(before[name], parameter.detach()) > 10 * TOLERANCE
        for name, parameter in plain.student.named_parameters()
    ]
    assert sum(moved) > 0.8 * len(moved)


def test_losses_in_float32_are_those_of_the_plain_method():
    training = _training(parts=1)
    plain = _plain(training)
    trusted = []
    for record in training.steps():
        losses, _ = plain.step(record.step, _batch(record.step), _tokens(record.step))
        _compare_losses(record, losses)
        trusted.append(float(record.losses["trusted"]))
    assert any(0.05 < share < 0.95 for share in trusted), "both kinds of pixels are there"


def _compare_losses(record, losses):
    for name, loss in losses.items():
        assert float(record.losses[name]) == pytest.approx(loss, rel=TOLERANCE), name


def _taken(student):
    gradients = {name: parameter.grad.clone() for name, parameter in student.named_parameters()}
    for parameter in student.parameters():
        parameter.grad = None
    return gradients
