"""Build the model of an experiment, and load teachers that it needs to predict (tests: train/test_teacher_head.py)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from pipeline.config import ExperimentConfig
from rsmtdf_core.errors import RunError, TeacherError
from rsmtdf_core.fingerprints import differences
from rsmtdf_core.normalization import normalise
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.student.segmenter import Segmenter, TokenSegmenter
from rsmtdf_core.student.settings import StudentSettings
from rsmtdf_core.teachers.family import input_statistics
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.teachers.teacher import Teacher, declared_identity, load_teacher
from rsmtdf_core.teachers.weights import locate_weights
from rsmtdf_core.tokens import TokenShape


def build_model(
    config: ExperimentConfig,
    manifest: Manifest,
    shapes: Sequence[TokenShape],
    student: StudentSettings | None = None,
) -> Segmenter:
    """Build the model that the config's method trains.

    Args:
        config: the experiment.
        manifest: the manifest of the dataset.
        shapes: shapes of the teachers' tokens.
        student: settings in place of `config.student`.

    Raises:
        ConfigError: If the settings do not fit the views.
    """
    model: Segmenter = config.method.load_model().build(
        student or config.student,
        config.objective,
        len(manifest.classes),
        config.views.crop,
        shapes,
        manifest.image_bands,
    )
    return model


def attach_teachers(
    model: Segmenter, config: ExperimentConfig, stores: Mapping[str, Any], device: torch.device
) -> None:
    """Let a model that predicts from tokens compute them; the teachers are loaded at the first prediction.

    Args:
        model: a model; others than a `TokenSegmenter` stay as they are.
        config: the experiment.
        stores: by teacher, the store of the training, with the teacher's `identity`.
        device: the device of the teachers.
    """
    if isinstance(model, TokenSegmenter):
        identities = {name: store["identity"] for name, store in stores.items()}
        model.use(LiveTokens(config, identities, device))


@dataclass(frozen=True)
class LiveTokens:
    """Computes tokens of images with the teachers of a config. Copies share the loaded teachers.

    Attributes:
        config: the experiment.
        identities: by teacher, the identity of the teacher that computed the tokens of the training.
        device: the device of the teachers.
    """

    config: ExperimentConfig
    identities: Mapping[str, Any]
    device: torch.device

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return the same object, so that a model and its EMA model share the teachers."""
        return self

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Compute the tokens, by teacher [B, h, w, D], of images in 0..255, float [B, bands, crop, crop].

        Raises:
            TeacherError: If a teacher's weights are not on this machine.
            RunError: If a teacher is not that of the training.
        """
        parts = images.split(self.config.runtime.teacher_batch)
        return {
            name: torch.cat([_tokens(teacher, part) for part in parts])
            for name, teacher in self._teachers.items()
        }

    @cached_property
    def _teachers(self) -> dict[str, Teacher]:
        return {settings.name: self._load(settings) for settings in self.config.distilled}

    def _load(self, settings: TeacherSettings) -> Teacher:
        require_local(settings)
        teacher = load_teacher(settings, self.config.views.crop, str(self.device))
        changes = list(differences(self.identities.get(settings.name, {}), teacher.identity()))
        if changes:
            raise RunError(
                f"teacher {settings.name} is not the teacher of the training: {changes[0]}",
                where=settings.weights,
                remedy="restore the weights file that the training used",
            )
        return teacher


def _tokens(teacher: Teacher, images: Tensor) -> Tensor:
    bands = [band - 1 for band in teacher.settings.seen_bands]
    mean, std = input_statistics(teacher.settings)
    return teacher.normalised_tokens(normalise(images[:, bands], mean, std))


def require_local(settings: TeacherSettings) -> None:
    """Check that a teacher can be loaded without the network.

    Raises:
        TeacherError: If its weights are not on this machine.
    """
    if settings.weights != "random" and locate_weights(settings) is None:
        raise TeacherError(
            f"predictions need teacher {settings.name}, and its weights are not on this machine",
            where=settings.weights if settings.weights != "hub" else settings.model,
            remedy="copy them to this path, or run `rsmtdf extract-features` with the config to download them",
        )


def require_teachers(config: ExperimentConfig, stores: Mapping[str, Any]) -> None:
    """Check before a training that the teachers which its validations need are those of the stores.

    Raises:
        TeacherError: If a teacher's weights are not on this machine.
        RunError: If they are other weights.
    """
    for settings in config.distilled:
        require_local(settings)
        declared = declared_identity(settings, config.views.crop)
        if changes := list(differences(stores[settings.name]["identity"], declared)):
            raise RunError(f"teacher {settings.name} differs from its store: {changes[0]}")
