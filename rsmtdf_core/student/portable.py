"""The student for export, with normalization included: images of many sizes to logits, or tiles to probabilities."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from rsmtdf_core.student.model import Student

# The maximum number of images, and the range of the sides in `PortableStudent.unit`. A trace treats a size of 1 as
# constant, and a transformer's coarsest map halves its grid.
MOST_IMAGES, LEAST_UNITS, MOST_UNITS = 64, 4, 256


class PortableStudent(nn.Module):
    """uint8 images [B, bands, H, W] -> logits float32 [B, classes, H, W].

    Args:
        student: the trained student; it is copied, not changed.

    Attributes:
        unit: divisor of H and W: the patch of a transformer, the coarsest stride of a CNN.
    """

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = copy.deepcopy(student).cpu().eval()
        self.unit = max(student.encoder.patch, *student.encoder.reductions)
        _pad_by_constants(self.student)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of images whose sides are multiples of `unit`."""
        return self.student.logits(self.student.normalise(images)).float()


class TileStudent(nn.Module):
    """Tiles float32 [1, bands, T, T] -> class probabilities float32 [1, classes, T, T].

    A value v of a tile becomes the level round(255 (v - low) / (high - low)), clipped to 0..255, as if the pixel were
    read by `rsmtdf predict`.

    Args:
        student: the trained student; it is copied, not changed.
        ranges: for each band, the values `(low, high)` of a tile that become black and white.
        half: compute in float16 between the normalization and the softmax.
    """

    def __init__(
        self, student: Student, ranges: Sequence[tuple[float, float]], *, half: bool = False
    ) -> None:
        super().__init__()
        self.student = copy.deepcopy(student).cpu().eval()
        self.dtype = torch.float16 if half else torch.float32
        self.student.to(self.dtype)
        low, high = torch.tensor(ranges, dtype=torch.float64).T.reshape(2, 1, -1, 1, 1)
        self.low, self.span = nn.Buffer(low.float()), nn.Buffer((high - low).float())

    def forward(self, tiles: Tensor) -> Tensor:
        """Return the probabilities of tiles whose side is a multiple of the student's patch."""
        levels = (((tiles - self.low) / self.span).clamp(0, 1) * 255).round()
        logits = self.student.logits(self.student.normalise(levels).to(self.dtype))
        return logits.float().softmax(dim=1)


def export_program(model: PortableStudent, side: int) -> ExportedProgram:
    """Export the model for 1 to MOST_IMAGES images with sides of LEAST_UNITS to MOST_UNITS units.

    Args:
        model: a model in eval mode, on the CPU.
        side: side of the example that is traced, px; a multiple of the unit.
    """
    # The sides must differ: the trace would treat equal sides, like a batch of 1, as a constraint.
    example = torch.zeros(2, model.student.bands, side, side + model.unit, dtype=torch.uint8)
    with torch.no_grad():
        return torch.export.export(model, (example,), dynamic_shapes=(dynamic_shape(model.unit),))


def dynamic_shape(unit: int) -> dict[int, Dim]:
    """Return the dynamic dimensions of the images, with their ranges."""
    rows, columns = (Dim(name, min=LEAST_UNITS, max=MOST_UNITS) for name in ("rows", "columns"))
    return {0: Dim("batch", max=MOST_IMAGES), 2: unit * rows, 3: unit * columns}


def _pad_by_constants(module: nn.Module) -> None:
    """Replace "same" padding by the constants it equals if the stride divides the map's sides.

    Strides always divide multiples of the unit, and a trace cannot follow a formula of the sides.
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
            *((total // 2, total - total // 2) for total in needed), strict=True
        )
        # Keep the parameters, but not timm's forward, which pads by a formula.
        child.__class__ = nn.Conv2d  # type: ignore[assignment]
        setattr(module, name, nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), child))
