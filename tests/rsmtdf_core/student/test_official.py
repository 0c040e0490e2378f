"""Official checkpoints are renamed completely, and other files are refused."""

import json

import pytest
import torch

from rsmtdf_core.errors import RunError
from rsmtdf_core.student.model import Student
from rsmtdf_core.student.official import from_official
from rsmtdf_core.student.settings import StudentSettings
from rsmtdf_core.tokens import TokenShape


def test_names_are_ours_and_teachers_and_idle_parts_are_left_out():
    token = torch.zeros(1)
    official = [
        "backbone.blocks.0.attn.qkv.weight",
        "backbone.mask_token",
        "head.resize_layers.3.bias",
        "head.scratch.layer4_rn.weight",
        "head.scratch.refinenet1.resConfUnit1.conv2.bias",
        "head.scratch.refinenet4.resConfUnit1.conv1.weight",
        "head.scratch.output_conv.2.bias",
        "feature_translator_for_dino.layer.0.weight",
        "project_clip.bias",
        "Dino_teacher_model.cls_token",
        "clip_model.visual.conv1.weight",
    ]
    ours = {
        "encoder.net.blocks.0.attn.qkv.weight",
        "head.resizes.3.bias",
        "head.adapters.3.weight",
        "head.refiners.0.merge.conv2.bias",
        "head.output.2.bias",
        "translators.big.layers.0.weight",
        "fusion.projections.vl.bias",
    }
    assert from_official(dict.fromkeys(official, token), dino="big", clip="vl").keys() == ours
    wrapped = {f"module.{name}": token for name in official}
    assert from_official(wrapped, dino="big", clip="vl").keys() == ours


def test_a_foreign_state_is_refused():
    with pytest.raises(RunError, match=r"1 unknown names, such as 'decoder\.weight'"):
        from_official({"decoder.weight": torch.zeros(1), "project_dino.bias": torch.zeros(1)})


@pytest.mark.shared
def test_every_official_name_has_a_counterpart_in_the_student(shared):
    shapes = json.loads((shared / "golden" / "official_shapes.json").read_text())["student"]
    official = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    teachers = [TokenShape("dino", 37, 37, 768), TokenShape("clip", 16, 16, 1024, 224)]
    with torch.device("meta"):
        student = Student(StudentSettings(weights="random"), 7, 518, teachers)
    expected = {name: tuple(tensor.shape) for name, tensor in student.state_dict().items()}
    renamed = from_official(official)
    assert {name: tuple(tensor.shape) for name, tensor in renamed.items()} == expected
