"""Validation during training: each process scores its share, and all processes get the same total counts."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn

from rsmtdf_core.evaluation.counts import PixelCounts
from rsmtdf_core.evaluation.scoring import ScenePrediction, count_confusion
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.student.segmenter import Segmenter


class _Left(Exception):  # noqa: N818 - not an error
    """Scoring ends before its last scene."""


def shared_confusion(
    student: Segmenter,
    reader: SceneReader,
    scenes: Sequence[Scene],
    inference: InferenceSettings,
    accelerator: Accelerator,
    leaving: Callable[[], bool],
    on_scene: Callable[[], None] = lambda: None,
) -> PixelCounts | None:
    """Return pixel counts over all scenes, of which each process predicts its share.

    Every scene counts once, for any number of processes. Returns None if `leaving` became true in any
    process; it is called after each scene, as is `on_scene`.
    """

    def after_scene(_prediction: ScenePrediction) -> None:
        on_scene()
        if leaving():
            raise _Left

    classes = len(reader.dataset.manifest.classes)
    counts, left = PixelCounts.zeros(classes), leaving()
    share = share_of(scenes, accelerator)
    if not left:
        try:
            counts = count_confusion(student, reader, share, inference, after_scene)
        except _Left:
            left = True
    rows = np.vstack([counts.matrix, counts.ignored])
    numbers = torch.tensor([*rows.ravel().tolist(), int(left)], device=accelerator.device)
    total = accelerator.reduce(numbers, "sum").cpu().numpy()
    if total[-1]:
        return None
    summed = total[:-1].reshape(classes + 1, classes)
    return PixelCounts(summed[:classes], summed[classes])


def share_of(scenes: Sequence[Scene], accelerator: Accelerator) -> Sequence[Scene]:
    """Return the scenes that this process predicts."""
    return scenes[accelerator.process_index :: accelerator.num_processes]


def share_buffers(accelerator: Accelerator, *models: nn.Module) -> None:
    """Broadcast the main process's running statistics, which are those in a checkpoint."""
    for model in models:
        share_tensors(accelerator, model.buffers())


def share_tensors(accelerator: Accelerator, tensors: Iterable[Tensor]) -> None:
    """Set each tensor to that of the main process."""
    if accelerator.num_processes > 1:
        for tensor in tensors:
            tensor.copy_(broadcast(tensor))
