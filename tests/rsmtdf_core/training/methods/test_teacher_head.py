"""The head on tokens: one crop or many, and its normalization."""

import copy
from typing import get_args

import pytest
import torch

from rsmtdf_core.errors import ConfigError, RunError
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.training.methods.rows import HeadKind, TeacherHeadSettings
from rsmtdf_core.training.methods.teacher_head import TeacherHead

CROP, CLASSES = 8, 3
SHAPES = (TokenShape("fine", 4, 4, 5), TokenShape("coarse", 2, 2, 3))


def tokens_of(images):
    """Tokens that depend on the pixels of the crop alone."""
    assert images.shape[1:] == (4, CROP, CROP)  # the teachers select their bands
    images = images[:, :3]
    fine = images.unfold(2, 2, 2).unfold(3, 2, 2).mean(dim=(1, 4, 5))
    coarse = images.unfold(2, 4, 4).unfold(3, 4, 4).amax(dim=(1, 4, 5))
    return {
        "fine": torch.stack([fine * k for k in range(1, 6)], dim=-1),
        "coarse": torch.stack([coarse + k for k in range(3)], dim=-1),
    }


@pytest.fixture(params=get_args(HeadKind))
def head(request):
    torch.manual_seed(0)
    model = TeacherHead(request.param, "small", CLASSES, CROP, SHAPES, bands=4).eval()
    model.use(tokens_of)
    return model


def images(*size):
    return torch.randint(256, size, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_each_crop_of_an_image_is_predicted_by_itself(head):
    pixels = head.normalise(images(2, 4, 2 * CROP, 3 * CROP))
    logits = head.logits(pixels)
    assert logits.shape == (2, CLASSES, 2 * CROP, 3 * CROP)
    for row in range(2):
        for column in range(3):
            part = (
                ...,
                slice(row * CROP, (row + 1) * CROP),
                slice(column * CROP, (column + 1) * CROP),
            )
            crop = pixels[part]
            expected = head(tokens_of(crop), (CROP, CROP))
            assert torch.allclose(logits[part], expected, atol=1e-4)
            assert torch.allclose(head.logits(crop), expected, atol=1e-4)


def test_the_state_has_the_head_and_the_statistics_alone(head):
    names = {name.split(".")[0] for name in head.state_dict()}
    assert names == {"head", "standardise"}
    assert set(head.last_layer) <= head.state_dict().keys()
    assert len(head.state_dict()[head.last_layer[0]]) == CLASSES
    assert not list(head.pretrained())


@torch.no_grad()
def test_units_of_the_tokens_do_not_matter(head):
    tokens = tokens_of(head.normalise(images(2, 4, CROP, CROP)))
    flat = {name: values.flatten(0, 2) for name, values in tokens.items()}
    head.set_statistics({name: (v.mean(0), v.std(0)) for name, v in flat.items()})
    expected = head(tokens, (CROP, CROP))
    scaled = {name: 100 * values - 7 for name, values in tokens.items()}
    head.set_statistics({name: (100 * v.mean(0) - 7, 100 * v.std(0)) for name, v in flat.items()})
    assert torch.allclose(head(scaled, (CROP, CROP)), expected, atol=1e-3)


@torch.no_grad()
def test_constant_channels_are_not_divided_by_zero(head):
    zero = {shape.teacher: torch.zeros(shape.channels) for shape in SHAPES}
    spread = {name: values + torch.arange(len(values)) for name, values in zero.items()}
    head.set_statistics({name: (zero[name], spread[name]) for name in zero})
    assert head(tokens_of(torch.rand(1, 4, CROP, CROP)), (CROP, CROP)).isfinite().all()


def test_a_linear_head_is_linear():
    model = TeacherHead("linear", "small", CLASSES, CROP, SHAPES)
    assert sum(parameter.numel() for parameter in model.parameters()) == (5 + 3 + 1) * CLASSES


def test_a_head_without_teachers_is_refused():
    model = TeacherHead("linear", "small", CLASSES, CROP, SHAPES)
    with pytest.raises(RunError, match="teachers are not loaded"):
        model.logits(torch.rand(1, 3, CROP, CROP))
    with pytest.raises(ConfigError, match="no encoder"):
        model.checkpoint_activations(enabled=True)
    model.checkpoint_activations(enabled=False)
    assert copy.deepcopy(model).patch == CROP


def test_the_teachers_of_the_head_can_be_chosen():
    chosen = TeacherHeadSettings(method="teacher-head", tokens=("coarse",))
    assert chosen.used_teachers(("fine", "coarse")) == ("coarse",)
    assert TeacherHeadSettings(method="teacher-head").used_teachers(("a", "b")) == ("a", "b")
    with pytest.raises(ValueError, match="no teacher is named coarse"):
        chosen.used_teachers(("fine",))
