"""Validation in the middle of a training: every process scores its share, and all end with the same matrix."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import nn

from pipeline.scoring import Pixels, count_confusion
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.manifests.reader import SceneReader
from rsmtdf_core.manifests.scenes import Scene
from rsmtdf_core.student.model import Student


class _Left(Exception):  # noqa: N818 - not an error
    """Scoring ends before its last scene."""


def shared_confusion(
    student: Student,
    reader: SceneReader,
    scenes: Sequence[Scene],
    inference: InferenceSettings,
    accelerator: Accelerator,
    leaving: Callable[[], bool],
) -> npt.NDArray[np.int64] | None:
    """Pixel counts int64 [C, C] over all scenes, of which each process predicts its share.

    Every scene counts once, whatever the number of processes. None where `leaving` became true in
    any of them, which is looked at after each scene.
    """

    def look(_scene: Scene, _ids: Pixels) -> None:
        if leaving():
            raise _Left

    classes = len(reader.dataset.manifest.classes)
    matrix, left = np.zeros((classes, classes), np.int64), leaving()
    share = scenes[accelerator.process_index :: accelerator.num_processes]
    if not left:
        try:
            matrix = count_confusion(student, reader, share, inference, look)
        except _Left:
            left = True
    counts = torch.tensor([*matrix.ravel().tolist(), int(left)], device=accelerator.device)
    total = accelerator.reduce(counts, "sum").cpu().numpy()
    if total[-1]:
        return None
    summed: npt.NDArray[np.int64] = total[:-1].reshape(classes, classes)
    return summed


def share_buffers(accelerator: Accelerator, *models: nn.Module) -> None:
    """Give all processes the main one's running statistics, which is what a checkpoint holds."""
    if accelerator.num_processes > 1:
        for model in models:
            for buffer in model.buffers():
                buffer.copy_(broadcast(buffer))
