"""The student computes what the official code computes, on weights and inputs made by a rule."""

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from rsmtdf_core.student.model import Student, StudentOutput
from rsmtdf_core.student.official import from_official
from rsmtdf_core.student.resizing import resize_map
from rsmtdf_core.student.settings import StudentSettings
from rsmtdf_core.teachers.open_clip_family import build as build_open_clip
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.teachers.timm_family import build as build_timm
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.training.distillation import distillation_loss

pytestmark = [pytest.mark.slow, pytest.mark.shared]

TEACHERS = [TokenShape("dino", 37, 37, 768), TokenShape("clip", 16, 16, 1024, input_size=224)]
TOLERANCE = 1e-4


class Golden:
    """The rule's weights and image, the official numbers, and our student's output."""

    def __init__(self, folder: Path, rule: ModuleType) -> None:
        self.rule = rule
        self.shapes = json.loads((folder / "official_shapes.json").read_text())
        with np.load(folder / "official_small_518.npz") as numbers:
            self.numbers = {name: torch.from_numpy(np.array(numbers[name])) for name in numbers}
        self.image = self.rule.rule_tensor("input/image", [2, 3, 518, 518], 1.0)
        self.output = self._student_output()

    def state(self, group: str) -> dict[str, Tensor]:
        return self.rule.rule_state(self.shapes[group])

    @torch.inference_mode()
    def _student_output(self) -> StudentOutput:
        student = Student(StudentSettings(weights="random"), 7, 518, TEACHERS).eval()
        student.load_state_dict(from_official(self.state("student")), strict=True)
        return student(self.image)


@pytest.fixture(scope="module")
def golden(shared: Path, rule: ModuleType) -> Golden:
    return Golden(shared / "golden", rule)


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def test_logits_and_their_argmax_are_the_official_ones(golden):
    logits = golden.output.logits
    assert relative_error(logits[:, :, ::7, ::7], golden.numbers["logits"]) < TOLERANCE
    agree = logits.argmax(1)[:, ::2, ::2] == golden.numbers["argmax"]
    # A pixel may differ only where the two best classes are as good as tied.
    best = logits.topk(2, dim=1).values[:, :, ::2, ::2]
    tied = (best[:, 0] - best[:, 1]) < TOLERANCE * logits.abs().max()
    assert bool((agree | tied).all())
    assert float(agree.float().mean()) > 0.9999


@pytest.mark.parametrize(("teacher", "rows", "channels"), [("dino", 37, 16), ("clip", 16, 16)])
def test_translated_tokens_are_the_official_ones(golden, teacher, rows, channels):
    tokens = golden.output.tokens[teacher].flatten(1, 2)[:, ::rows, ::channels]
    assert relative_error(tokens, golden.numbers[f"student_{teacher}"]) < TOLERANCE


@torch.inference_mode()
def dino_tokens(golden: Golden) -> Tensor:
    settings = TeacherSettings(name="dino", family="timm", model="vit_base_patch14_dinov2")
    return build_timm(settings, 518, golden.state("dinov2_base")).eval()(golden.image)


@torch.inference_mode()
def clip_tokens(golden: Golden) -> Tensor:
    settings = TeacherSettings(
        name="clip",
        family="open_clip",
        model="ViT-L-14-quickgelu",
        final_norm=False,
        input_size=224,
    )
    module = build_open_clip(settings, 518, golden.state("clip_vit_l_14_visual")).eval()
    return module(resize_map(golden.image, (224, 224)))


def test_distillation_loss_is_the_official_one(golden):
    teachers = {"dino": dino_tokens(golden), "clip": clip_tokens(golden)}
    found = {"loss": distillation_loss(golden.output.tokens, teachers)}
    for name, tokens in teachers.items():
        found[f"loss_{name}"] = distillation_loss(
            {name: golden.output.tokens[name]}, {name: tokens}
        )
    for name, loss in found.items():
        assert float(loss) == pytest.approx(float(golden.numbers[name]), rel=TOLERANCE), name
