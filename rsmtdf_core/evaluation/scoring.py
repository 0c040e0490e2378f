"""Scoring a student on whole scenes: the same code validates during training and evaluates a run."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rsmtdf_core.arrays import Pixels
from rsmtdf_core.errors import RunError
from rsmtdf_core.evaluation.averaging import scene_logits
from rsmtdf_core.evaluation.counts import Confusion, PixelCounts
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.scenes.find import Scene
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.student.model import Student


@torch.inference_mode()
def predict_ids(student: Student, image: Pixels, inference: InferenceSettings) -> Pixels:
    """Class ids uint8 [H, W] of an image uint8 [H, W, C] with as many bands as the student sees.

    Raises:
        RunError: where the student's output is NaN or infinite.
    """
    device = next(student.parameters()).device
    pixels = student.normalise(torch.from_numpy(image.copy()).permute(2, 0, 1)[None])[0]
    logits = scene_logits(
        lambda images: student.logits(images.to(device)).float(),
        pixels,
        inference,
        student.encoder.patch,
    )
    require_finite_output(logits)
    return logits.argmax(dim=0).to(torch.uint8).numpy()


def require_finite_output(logits: Tensor) -> None:
    """Refuse logits that name no class.

    Raises:
        RunError: where any is NaN or infinite.
    """
    if not torch.isfinite(logits).all():
        raise RunError(
            "the model's output is not finite: its weights are too large, as after a training that diverged",
            remedy="train again with a lower optimiser.lr, or choose an earlier checkpoint with --checkpoint",
        )


def count_confusion(
    student: Student,
    reader: SceneReader,
    scenes: Sequence[Scene],
    inference: InferenceSettings,
    on_scene: Callable[[Scene, Pixels], None] = lambda _scene, _ids: None,
) -> PixelCounts:
    """Predict every scene and count its pixels by true and predicted class.

    `on_scene` gets each prediction. The student is put into eval mode and left in it.
    """
    manifest = reader.dataset.manifest
    confusion = Confusion(len(manifest.classes), manifest.ignore_id)
    student.eval()
    for scene in scenes:
        ids = predict_ids(student, reader.image(scene), inference)
        confusion.add(reader.mask(scene), ids)
        on_scene(scene, ids)
    return confusion.counts


def evenly(scenes: Sequence[Scene], count: int) -> tuple[Scene, ...]:
    """At most `count` scenes, at least one, at even distances through the list: a choice without regard to scores."""
    step = max(1, len(scenes) // count)
    return tuple(scenes[::step][:count])


def scored_scenes(scenes: Sequence[Scene]) -> tuple[Scene, ...]:
    """The scenes that have a mask."""
    return tuple(scene for scene in scenes if scene.mask is not None)
