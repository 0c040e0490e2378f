"""Scores a student on whole scenes, both for validation during training and for evaluation of a run."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rsmtdf_core.arrays import Pixels
from rsmtdf_core.errors import RunError
from rsmtdf_core.evaluation.averaging import scene_logits
from rsmtdf_core.evaluation.counts import Confusion, PixelCounts
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.student.segmenter import Segmenter


class ScenePrediction(NamedTuple):
    """A scene with its prediction.

    Attributes:
        scene: the scene.
        truth: class ids of the mask, uint8 [H, W].
        ids: predicted class ids, uint8 [H, W].
        logits: float32 [C, H, W] on the CPU.
        counts: the pixel counts of this scene.
    """

    scene: Scene
    truth: Pixels
    ids: Pixels
    logits: Tensor
    counts: PixelCounts


def predict_ids(student: Segmenter, image: Pixels, inference: InferenceSettings) -> Pixels:
    """Predict the class ids, uint8 [H, W], of an image; see `predict_image`."""
    return class_ids(predict_image(student, image, inference))


def class_ids(logits: Tensor) -> Pixels:
    """Return the class ids, uint8 [H, W], of the largest logits of [C, H, W]."""
    ids: Pixels = logits.argmax(dim=0).to(torch.uint8).numpy()
    return ids


@torch.inference_mode()
def predict_image(student: Segmenter, image: Pixels, inference: InferenceSettings) -> Tensor:
    """Predict the logits, float32 [C, H, W], of an image, uint8 [H, W, bands] with the bands of the student.

    Raises:
        RunError: If the student's output contains NaN or infinity.
    """
    device = next(student.parameters()).device
    pixels = student.normalise(torch.from_numpy(image.copy()).permute(2, 0, 1)[None])[0]
    logits = scene_logits(
        lambda images: student.logits(images.to(device)).float(),
        pixels,
        inference,
        student.patch,
    )
    require_finite_output(logits)
    return logits


def require_finite_output(logits: Tensor) -> None:
    """Refuse logits that are not finite.

    Raises:
        RunError: If a logit is NaN or infinite.
    """
    if not torch.isfinite(logits).all():
        raise RunError(
            "the model's output is not finite: its weights are too large, as after a diverged training",
            remedy="train again with a lower optimiser.lr, or choose an earlier checkpoint with --checkpoint",
        )


def count_confusion(
    student: Segmenter,
    reader: SceneReader,
    scenes: Sequence[Scene],
    inference: InferenceSettings,
    on_scene: Callable[[ScenePrediction], None] = lambda _prediction: None,
) -> PixelCounts:
    """Predict all scenes and count their pixels by true and predicted class.

    The student is left in eval mode.

    Args:
        student: the model.
        reader: reads images and masks.
        scenes: the scenes, all with masks.
        inference: settings for predicting whole scenes.
        on_scene: called with each scene and its prediction.
    """
    manifest = reader.dataset.manifest
    confusion = Confusion(len(manifest.classes), manifest.ignore_id)
    student.eval()
    for scene in scenes:
        logits = predict_image(student, reader.image(scene), inference)
        ids, truth = class_ids(logits), reader.mask(scene)
        on_scene(ScenePrediction(scene, truth, ids, logits, confusion.add(truth, ids)))
    return confusion.counts


def evenly(scenes: Sequence[Scene], count: int) -> tuple[Scene, ...]:
    """Return at most `count` evenly spaced scenes, chosen without regard to scores."""
    step = max(1, len(scenes) // count)
    return tuple(scenes[::step][:count])


def scored_scenes(scenes: Sequence[Scene]) -> tuple[Scene, ...]:
    """Return the scenes that have a mask."""
    return tuple(scene for scene in scenes if scene.mask is not None)
