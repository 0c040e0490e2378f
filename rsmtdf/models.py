"""A run's student as a standalone module that maps images to logits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pipeline.trained import load_run
from rsmtdf_core.errors import DataError
from rsmtdf_core.evaluation.inference import nearest_multiple
from rsmtdf_core.student.resizing import resize_map

if TYPE_CHECKING:
    from rsmtdf.paths import PathLike
    from rsmtdf.stages import Weights
    from rsmtdf_core.scenes.manifest import Manifest
    from rsmtdf_core.student.segmenter import Segmenter


class StudentModel(nn.Module):
    """Images [B, bands, H, W] -> logits float32 [B, classes, H, W].

    Images are uint8, or floating-point in 0..1; the bands are in the order of the run's manifest, the first three red,
    green and blue. Normalization is included. Images whose sides are not multiples of the student's patch are
    resized to the nearest multiples, and the logits are resized back, as in `rsmtdf evaluate` for whole scenes.

    Args:
        student: the network.
        manifest: manifest of its training data.

    Attributes:
        student: the network; takes normalized images.
        bands: number of bands of the images.
        class_names: names of the classes, in the order of the logits.
        colors: a color `#RRGGBB` for each class.
    """

    def __init__(self, student: Segmenter, manifest: Manifest) -> None:
        super().__init__()
        self.student = student
        self.bands = student.bands
        self.class_names = tuple(manifest.class_names)
        self.colors = tuple(spec.color for spec in manifest.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the logits.

        Raises:
            DataError: If the images have an invalid shape, dtype or range.
        """
        height, width = self._checked(images).shape[-2:]
        patch = self.student.patch
        size = nearest_multiple(height, patch), nearest_multiple(width, patch)
        levels = images * 255 if images.is_floating_point() else images
        logits = self.student.logits(resize_map(self.student.normalise(levels), size))
        return resize_map(logits.float(), (height, width))

    def _checked(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] != self.bands:
            raise DataError(
                f"expected images [B, {self.bands}, H, W], found {list(images.shape)}",
                remedy="images.permute(2, 0, 1)[None] of one image [H, W, bands]",
            )
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise DataError(f"expected images in uint8 or floating-point, found {images.dtype}")
        # A compiled graph cannot depend on the values.
        if images.is_floating_point() and not torch.compiler.is_compiling():
            low, high = (float(limit) for limit in images.aminmax())
            if not (low >= 0 and high <= 1):
                raise DataError(
                    f"expected floating-point images in 0..1, found values in {low:g}..{high:g}",
                    remedy="divide 8-bit images by 255, or give them as uint8",
                )
        return images


def load_student(
    run: PathLike,
    *,
    weights: Weights | None = None,
    checkpoint: PathLike | int | None = None,
    device: torch.device | str | None = None,
) -> StudentModel:
    """See `rsmtdf.load_student`."""
    trained = load_run(Path(run), weights, checkpoint=checkpoint)
    return StudentModel(trained.student, trained.manifest).to(device).eval()
