"""Steps of the loop are steps of the methods, whatever parts they are computed in."""

from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from rsmtdf_core.choices import OneOf
from rsmtdf_core.kinds import METHODS
from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.student.model import Student
from rsmtdf_core.student.settings import StudentSettings
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.training.data import Batch, StepDataset
from rsmtdf_core.training.ema import ema_copy
from rsmtdf_core.training.loop import Training, make_optimiser
from rsmtdf_core.training.methods.base import objective_class
from rsmtdf_core.training.schedule import BatchSchedule
from rsmtdf_core.training.settings import OptimiserSettings
from rsmtdf_core.training.sources import RenderedPixels
from rsmtdf_core.training.targets import Targets
from rsmtdf_core.views.plan import make_plan
from rsmtdf_core.views.render import ViewRenderer
from rsmtdf_core.views.settings import CutMixSettings, ViewSettings
from tests.rsmtdf_core.training.plain import PlainTraining, normalised, plain_batch

CROP, CLASSES, SAMPLES, STEPS, TOLERANCE = 64, 4, 4, 4, 1e-9
# By encoder: the second teacher's tokens come from a second pass of the student at 32 px.
TEACHERS = {
    "test_vit": [TokenShape("dino", 4, 4, 12), TokenShape("clip", 2, 2, 10, input_size=32)],
    "test_efficientnet": [
        TokenShape("dino", 2, 2, 12),
        TokenShape("clip", 1, 1, 10, input_size=32),
    ],
}
# A step moves every weight, the average follows slowly, and decay shows in each of them.
RECIPE = {"lr": 5e-4, "multiplier": 4.0, "weight_decay": 0.5, "power": 0.9, "ema": 0.6}


@dataclass(frozen=True)
class Case:
    """A training to compare: its method, its student, and how it is computed."""

    method: str
    encoder: str = "test_vit"
    dropout: float = 0.0
    delay: int = 0
    parts: int = 1
    rendered: bool = False

    @property
    def teachers(self):
        return TEACHERS[self.encoder] if self.method == "rs-mtdf" else []

    @property
    def strong_views(self):
        return METHODS[self.method].strong_views


CNN = "test_efficientnet"
CASES = [
    Case("rs-mtdf", dropout=0.2, rendered=True),
    Case("rs-mtdf", parts=2, delay=1),
    Case("rs-mtdf", CNN, delay=1),
    Case("unimatch-v2", CNN, delay=1, rendered=True),
    Case("unimatch-v2", parts=2),
    Case("fixmatch", CNN),
    Case("supervised", CNN, delay=1),
]


def _batch(step, views=1):
    draws = torch.Generator().manual_seed(100 + step)
    images = torch.randint(
        0, 256, (2 + views, SAMPLES, 3, CROP, CROP), dtype=torch.uint8, generator=draws
    )
    masks = torch.randint(0, CLASSES, (SAMPLES, CROP, CROP), dtype=torch.uint8, generator=draws)
    masks[0, :20] = 255
    masks[2, :, 50:] = 255
    valid = torch.ones(2 * SAMPLES, CROP, CROP, dtype=torch.bool)
    unlabeled = valid[SAMPLES:]
    unlabeled[1, 30:] = False
    unlabeled[3, :, 45:] = False
    pasted = torch.zeros(views, SAMPLES, CROP, CROP, dtype=torch.bool)
    for view, boxes in enumerate(pasted):
        # From the padding of 1 into 0, from 2 over the padding of 3, and from 3 with some of it into 2.
        boxes[0, 10 + view : 40, 5:50] = True
        boxes[3, 30:, 30 + view :] = True
        boxes[2, 20:30, 40:] = True
    return Batch(
        step,
        0,
        SAMPLES,
        images[0],
        masks,
        images[1] if views else images[1, :0],
        images[2:] if views else images[2:, :0],
        pasted if views else pasted[:, :0],
        valid if views else valid[:SAMPLES],
    )


def _tokens(step, teachers):
    draws = torch.Generator().manual_seed(200 + step)
    return {
        shape.teacher: torch.randn(
            2 * SAMPLES, shape.height, shape.width, shape.channels, generator=draws
        )
        for shape in teachers
    }


class Noise:
    """Stands in for a SceneReader: noise drawn from the scene's digest."""

    dataset = SimpleNamespace(manifest=SimpleNamespace(ignore_id=255))

    def image(self, scene):
        draws = np.random.default_rng(int(scene.sha256, 16))
        return draws.integers(0, 256, (scene.height, scene.width, 3), np.uint8)

    def mask(self, scene):
        return self.image(scene)[..., 0] % CLASSES


class _Drawn:
    """Batches without a plan."""

    def __init__(self, schedule, views):
        self.schedule, self.views = schedule, views

    @contextmanager
    def opened(self, start, stop):
        yield (_batch(step, self.views) for step in range(start, stop))


class _Targets:
    def __init__(self, teachers):
        self.teachers = teachers

    @contextmanager
    def opened(self, schedule, start, stop):
        steps = iter(range(start, stop))
        yield lambda _rows, _images: Targets(_tokens(next(steps), self.teachers), None)


def _schedule():
    """Two epochs of two steps, with another view of each scene in the second."""
    scenes = [
        Scene(f"s{i}", f"{i}.png", "m", 80, 50, sha256=f"{i:064x}") for i in range(3 * SAMPLES)
    ]
    settings = ViewSettings(
        crop=CROP, unlabeled_views=2, labeled_views=3, cutmix=CutMixSettings(p=0.9)
    )
    plan = make_plan(scenes[:SAMPLES], scenes[SAMPLES:], settings, seed=0)
    schedule = BatchSchedule(plan, SAMPLES, 0)
    assert 2 * schedule.steps_per_epoch == STEPS
    return schedule


def _training(case):
    torch.manual_seed(0)
    student = Student(
        StudentSettings(encoder=case.encoder, weights="random"), CLASSES, CROP, case.teachers
    )
    assert student.second_sizes == {shape.teacher: shape.input_size for shape in case.teachers}
    for module in student.encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = case.dropout
    ema = ema_copy(student)
    # Not the student's: else its labels, or an average that never moves, would look the same at first.
    with torch.no_grad():
        for tensor in (*ema.parameters(), *ema.buffers()):
            if tensor.is_floating_point():
                tensor.mul_(1 + 0.2 * torch.rand_like(tensor))
    schedule = _schedule()
    settings = OptimiserSettings(**RECIPE, epochs=2, batch=SAMPLES, lr_delay=case.delay)
    renderer = ViewRenderer(Noise(), schedule.plan)
    chosen = {"method": case.method}
    if case.strong_views:
        chosen["confidence"] = _confidence(ema)
    AcceleratorState._reset_state(reset_partial_state=True)
    return Training(
        accelerator=Accelerator(cpu=True),
        student=student,
        ema=ema,
        optimiser=make_optimiser(student, settings),
        objective=objective_class(case.method)(OneOf(METHODS, "method").read(chosen), 255, seed=0),
        pixels=RenderedPixels(
            StepDataset(renderer, schedule, None, case.strong_views), workers=0, pin=False
        )
        if case.rendered
        else _Drawn(schedule, case.strong_views),
        targets=_Targets(case.teachers) if case.teachers else None,
        settings=settings,
        parts=case.parts,
    )


@torch.no_grad()
def _confidence(ema):
    """The median over the pixels of a batch, so that about half of them are trusted at first."""
    top = ema.logits(normalised(_batch(0).weak).float()).softmax(dim=1).amax(dim=1)
    return float(np.median(top.double()))


def _plain(training, case):
    recipe = dict(RECIPE)
    return PlainTraining(
        training.student,
        training.ema,
        method=case.method,
        decay=recipe.pop("weight_decay"),
        ema_limit=recipe.pop("ema"),
        total=STEPS,
        confidence=training.objective._confidence if case.strong_views else None,
        delay=case.delay,
        **recipe,
    )


def _plain_step(plain, training, case, step):
    """A step of the plain method on batches made plainly; unimatch-v2 has the channels that its objective draws."""
    schedule = training.schedule
    batch = (
        plain_batch(schedule.plan, Noise(), schedule.rows(step), step, case.strong_views)
        if case.rendered
        else _batch(step, case.strong_views)
    )
    scale = None
    if case.method == "unimatch-v2":
        channels = max(training.student.encoder.channels)
        scale = training.objective._channel_scale(batch, channels)
    return plain.step(step, batch, _tokens(step, case.teachers), scale)


def relative_error(actual, expected):
    return float((actual.double() - expected).abs().max() / expected.abs().max().clamp(min=1e-12))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_losses_gradients_weights_and_average_are_those_of_the_plain_method(case, monkeypatch):
    training = _training(case)
    # All in float64: in float32 a ReLU at 1e-8 may be active on only one side, and if a gradient is nearly 0 (an
    # attention's key bias) AdamW, which divides by its size, would amplify the rounding.
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    training.student.double(), training.ema.double()
    monkeypatch.setattr(training.ema, "normalise", normalised)
    plain = _plain(training, case)
    before = {name: tensor.clone() for name, tensor in training.student.state_dict().items()}
    gradients = {}
    # The loop clears them right after the optimiser's step.
    monkeypatch.setattr(
        training.optimiser,
        "zero_grad",
        lambda set_to_none: gradients.update(_taken(training.student)),
    )
    steps, shares = training.steps(), []
    for step in range(STEPS):
        torch.manual_seed(step)  # of the dropout
        record = next(steps)
        torch.manual_seed(step)
        losses, expected = _plain_step(plain, training, case, step)
        shares.append(losses.get("trusted"))
        assert record.losses.keys() == losses.keys()
        for name, loss in losses.items():
            assert float(record.losses[name]) == pytest.approx(loss, rel=TOLERANCE), name
        for name, gradient in expected.items():
            assert relative_error(gradients[name], gradient) < TOLERANCE, name
        for ours, theirs in ((training.student, plain.student), (training.ema, plain.ema)):
            states = zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True)
            for (name, tensor), other in states:
                assert relative_error(tensor, other.double()) < TOLERANCE, name
    assert next(steps, None) is None
    if case.strong_views:
        assert any(0.05 < share < 0.95 for share in shares), "both kinds of pixels are there"
    # Everything moves by far more than that error allows to hide, also relative to each other.
    for name, tensor in plain.student.state_dict().items():
        assert relative_error(before[name], tensor.double()) > 1e5 * TOLERANCE, name
    apart = [
        relative_error(tensor, plain.ema.state_dict()[name].double()) > 1e5 * TOLERANCE
        for name, tensor in plain.student.state_dict().items()
        if tensor.is_floating_point()
    ]
    assert all(apart)


def test_losses_in_float32_are_those_of_the_plain_method():
    case = Case("rs-mtdf", CNN)
    training = _training(case)
    plain = _plain(training, case)
    for record in training.steps():
        losses, _ = _plain_step(plain, training, case, record.step)
        for name, loss in losses.items():
            assert float(record.losses[name]) == pytest.approx(loss, rel=1e-3), name


def test_an_epoch_of_rendered_batches_shows_each_unlabeled_scene_once_with_the_view_of_the_epoch():
    case = Case("unimatch-v2", rendered=True)
    training = _training(case)
    schedule, plan = training.schedule, training.schedule.plan
    with training.pixels.opened(0, STEPS) as batches:
        loaded = list(batches)
    padding = 0
    for step, batch in enumerate(loaded):
        expected = plain_batch(plan, Noise(), schedule.rows(step), step, case.strong_views)
        for name, tensor in expected.tensors.items():
            assert torch.equal(batch.tensors[name], tensor), (step, name)
        valid = batch.valid[SAMPLES:]
        padding += int((batch.pasted & ~valid).sum())
    assert padding, "boxes cover padding"
    for epoch in range(2):
        shown = [plan[row] for step in (0, 1) for row in schedule.rows(2 * epoch + step).unlabeled]
        assert sorted(view.scene for view in shown) == list(plan.unlabeled_scenes)
        assert {view.number for view in shown} == {epoch}
        labeled = [plan[row] for step in (0, 1) for row in schedule.rows(2 * epoch + step).labeled]
        # The list of four scenes is passed twice, each time with the next of their three views.
        passes = [{(view.scene, view.number) for view in labeled[i : i + 4]} for i in (0, 4)]
        assert passes == [
            {(scene, number % 3) for scene in plan.labeled_scenes}
            for number in (2 * epoch, 2 * epoch + 1)
        ]


def _taken(student):
    gradients = {name: parameter.grad.clone() for name, parameter in student.named_parameters()}
    for parameter in student.parameters():
        parameter.grad = None
    return gradients
