"""A run with its best model loaded, for the verbs that use what a training made."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.config import ExperimentConfig, load_config
from rsmtdf_core.allocator import keep_freed_memory
from rsmtdf_core.choices import fields_at
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.evaluation.report import cautions
from rsmtdf_core.roles import Role, role_of
from rsmtdf_core.runs.best import best_checkpoint
from rsmtdf_core.runs.checkpoint import Checkpoint, load_checkpoint, load_weights
from rsmtdf_core.runs.folder import RunFolder, open_run
from rsmtdf_core.scenes.manifest import Manifest, load_manifest
from rsmtdf_core.student.model import Student
from rsmtdf_core.student.settings import ModelName
from rsmtdf_core.tokens import TokenShape


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A run with one of its models loaded.

    Attributes:
        folder: the run on disk.
        config: its resolved config.
        checkpoint: the best checkpoint, or the one that was named.
        weights: which of its two models is loaded.
        student: that model, in eval mode on the device.
        manifest: the dataset's manifest, as it was when the run began.
    """

    folder: RunFolder
    config: ExperimentConfig
    checkpoint: Checkpoint
    weights: ModelName
    student: Student
    manifest: Manifest

    @property
    def cautions(self) -> tuple[str, ...]:
        """What a user must know before believing this run's predictions."""
        state = self.checkpoint.state
        return cautions(state["random_teachers"], state["approximations"])


def load_run(
    path: Path,
    weights: ModelName | None = None,
    overrides: Sequence[str] = (),
    checkpoint: Path | None = None,
) -> TrainedRun:
    """Load a run's best model; `weights` is by default the one it was selected by.

    Args:
        path: the run's folder.
        weights: the EMA model or the student.
        overrides: `key=value` for keys of `evaluation.inference`, and for `runtime.device`.
        checkpoint: the folder of another checkpoint than the best.

    Raises:
        RunError: where there is no run, or its best checkpoint or the one named is damaged or not finite.
        ConfigError: where an override is wrong, or changes what was trained.
    """
    _require_free(overrides)
    folder = open_run(path)
    config = load_config(str(folder.config), overrides)
    chosen = best_checkpoint(folder) if checkpoint is None else load_checkpoint(checkpoint)
    which = weights or config.evaluation.weights
    manifest = load_manifest(str(folder.manifest))
    shapes = [TokenShape(**shape) for shape in chosen.state["teachers"]]
    # The checkpoint has all weights: the pretrained ones need not be on this machine.
    settings = config.student.model_copy(update={"weights": "random"})
    student = Student(
        settings, len(manifest.classes), config.views.crop, shapes, bands=manifest.image_bands
    )
    load_weights(student, chosen.weights(which), chosen.path)
    on_gpu = config.runtime.device != "cpu" and torch.cuda.is_available()
    student.to("cuda" if on_gpu else "cpu").eval()
    if not on_gpu:
        keep_freed_memory()
    return TrainedRun(folder, config, chosen, which, student, manifest)


def _require_free(overrides: Sequence[str]) -> None:
    """Refuse overrides of keys that decide more than how scenes pass through a trained model, and on what."""
    for override in overrides:
        key = override.partition("=")[0]
        fields = fields_at(ExperimentConfig, key)
        if not all(role_of(field) in {Role.SCORING, Role.SPEED} for _, _, field in fields):
            raise ConfigError(
                f"a trained run takes no other {key}",
                where=f"--set {override}",
                remedy="set evaluation.inference.* or runtime.device",
            )
