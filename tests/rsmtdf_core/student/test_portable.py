"""The portable student computes what the student does, at every size that the export allows."""

import pytest
import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from rsmtdf_core.student.model import Student
from rsmtdf_core.student.portable import (
    LEAST_UNITS,
    PortableStudent,
    TileStudent,
    _pad_by_constants,
)
from rsmtdf_core.student.settings import StudentSettings


@pytest.mark.parametrize("encoder", ["test_vit", "test_efficientnet"])
def test_logits_of_uint8_images_are_the_students(encoder):
    torch.manual_seed(0)
    student = Student(StudentSettings(encoder=encoder, weights="random"), 4, 64, [])
    portable = PortableStudent(student)
    assert student.training, "the student stays as it is"
    student.eval()
    side = LEAST_UNITS * portable.unit
    for size in ((side, side), (side, side + portable.unit)):
        images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
        with torch.no_grad():
            logits = portable(images)
            expected = student.logits(student.normalise(images))
        assert logits.dtype == torch.float32
        assert logits.shape == (2, 4, *size)
        assert torch.allclose(logits, expected, atol=1e-5)


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
def test_padding_by_constants_equals_timms_if_strides_divide_the_sides(kernel, stride, dilation):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Identity(), nn.Sequential(Conv2dSame(2, 3, kernel, stride, dilation=dilation))
    )
    images = torch.randn(1, 2, 8, 12)
    expected = model(images)
    _pad_by_constants(model)
    assert not any(isinstance(layer, Conv2dSame) for layer in model.modules())
    assert torch.allclose(model(images), expected, atol=1e-6)


@pytest.mark.parametrize("half", [False, True])
def test_probabilities_of_a_tile_are_the_students(half):
    torch.manual_seed(0)
    student = Student(StudentSettings(encoder="test_efficientnet", weights="random"), 4, 64, [])
    student.eval()
    levels = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        expected = student.logits(student.normalise(levels)).softmax(dim=1)
        tile = TileStudent(student, [(0, 1)] * 3, half=half)(levels.float() / 255)
        # The same levels as 16-bit values of 1000 to 4000, divided by 65535; beyond, they are clipped.
        stored = levels.float() * (3000 / 255) + 1000
        stored[levels == 0], stored[levels == 255] = 0, 60_000
        scaled = TileStudent(student, [(1000 / 65_535, 4000 / 65_535)] * 3, half=half)(
            stored / 65_535
        )
    assert tile.dtype == torch.float32
    assert torch.equal(tile, scaled)
    assert torch.allclose(tile, expected, atol=1e-2 if half else 1e-6)
    assert student.head.output[0].weight.dtype == torch.float32, "the student stays as it is"
