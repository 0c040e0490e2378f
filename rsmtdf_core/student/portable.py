"""The student as other programs want it: uint8 images in, logits out, normalisation inside, shapes that may vary."""

import copy

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from rsmtdf_core.student.model import Student

# How many images, and how many `PortableStudent.unit` a side may have. A trace takes a size of 1 for a
# fact, and a transformer's coarsest map halves its grid.
MOST_IMAGES, LEAST_UNITS, MOST_UNITS = 64, 4, 256


class PortableStudent(nn.Module):
    """uint8 images [B, bands, H, W] -> logits float32 [B, classes, H, W].

    Args:
        student: is copied, so that it stays as it is.

    Attributes:
        unit: H and W must be multiples of it: the patch of a transformer, the coarsest stride of a CNN.
    """

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = copy.deepcopy(student).cpu().eval()
        self.unit = max(student.encoder.patch, *student.encoder.reductions)
        _pad_by_constants(self.student)

    def forward(self, images: Tensor) -> Tensor:
        """The logits of images whose sides are multiples of `unit`."""
        return self.student.logits(self.student.normalise(images)).float()


def export_program(model: PortableStudent, side: int) -> ExportedProgram:
    """`torch.export` of the model for 1 to MOST_IMAGES images of any LEAST_UNITS to MOST_UNITS units a side.

    Args:
        model: in eval mode, on the CPU.
        side: of the example that is traced, a multiple of the unit.
    """
    # Sides that differ: the trace would take their being equal for a fact, as it would a batch of 1.
    example = torch.zeros(2, model.student.bands, side, side + model.unit, dtype=torch.uint8)
    with torch.no_grad():
        return torch.export.export(model, (example,), dynamic_shapes=(dynamic_shape(model.unit),))


def dynamic_shape(unit: int) -> dict[int, Dim]:
    """Which sizes of the images may vary, and how far."""
    rows, columns = (Dim(name, min=LEAST_UNITS, max=MOST_UNITS) for name in ("rows", "columns"))
    return {0: Dim("batch", max=MOST_IMAGES), 2: unit * rows, 3: unit * columns}


def _pad_by_constants(module: nn.Module) -> None:
    """Let convolutions pad "same" by what that comes to where the stride divides the map's sides.

    At multiples of the unit it always does; a formula of the sides is more than a trace can follow.
    """
    from timm.layers.conv2d_same import Conv2dSame

    for name, child in module.named_children():
        if not isinstance(child, Conv2dSame):
            _pad_by_constants(child)
            continue
        needed = [
            max(dilation * (kernel - 1) + 1 - stride, 0)
            for kernel, stride, dilation in zip(
                child.kernel_size, child.stride, child.dilation, strict=True
            )
        ]
        (top, left), (bottom, right) = zip(
            *((one // 2, one - one // 2) for one in needed), strict=True
        )
        # The same parameters without timm's own forward, which pads by a formula.
        child.__class__ = nn.Conv2d  # type: ignore[assignment]
        setattr(module, name, nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), child))
