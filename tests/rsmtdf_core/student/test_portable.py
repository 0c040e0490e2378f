"""The portable student computes what the student does, at every size that the export allows."""

import pytest
import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from rsmtdf_core.student.model import Student
from rsmtdf_core.student.portable import LEAST_UNITS, PortableStudent, _pad_by_constants
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
