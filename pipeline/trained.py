"""Load a run with one of its models, for the commands that use a trained model (tests: evaluate/test_run.py)."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.commands import train_command
from pipeline.config import ExperimentConfig, load_config
from pipeline.models import attach_teachers, build_model
from pipeline.origin import trained_on
from rsmtdf_core.allocator import keep_freed_memory
from rsmtdf_core.choices import fields_at
from rsmtdf_core.errors import ConfigError, RunError
from rsmtdf_core.evaluation.inference import require_fitting_window
from rsmtdf_core.evaluation.report import cautions
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.kinds import METHODS
from rsmtdf_core.roles import Role, role_of
from rsmtdf_core.runs.best import Choice, chosen_checkpoint
from rsmtdf_core.runs.checkpoint import Checkpoint, load_weights
from rsmtdf_core.runs.folder import RunFolder, open_run
from rsmtdf_core.scenes.manifest import Manifest, load_manifest
from rsmtdf_core.settings import IMAGENET_MEAN, IMAGENET_STD
from rsmtdf_core.student.segmenter import Segmenter
from rsmtdf_core.student.settings import ModelName
from rsmtdf_core.tokens import TokenShape


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A run with one of its models loaded.

    Attributes:
        folder: the run on disk.
        config: the resolved config.
        checkpoint: the best checkpoint, or the requested one.
        weights: the loaded model of the checkpoint, `ema` or `student`.
        student: that model, in eval mode on the device.
        manifest: the dataset's manifest at the start of the run.
    """

    folder: RunFolder
    config: ExperimentConfig
    checkpoint: Checkpoint
    weights: ModelName
    student: Segmenter
    manifest: Manifest

    @property
    def cautions(self) -> tuple[str, ...]:
        """Warnings about the validity of this run's predictions."""
        state = self.checkpoint.state
        return cautions(state["random_teachers"], state["approximations"])

    @property
    def trained_on(self) -> Manifest | None:
        """The manifest that lists the training scenes of another program's model; None if they are unknown."""
        return trained_on(self.folder)

    @property
    def notes(self) -> tuple[str, ...]:
        """Facts about the model that scores need, a sentence each."""
        if self.config.method.predicts_from == "images":
            return ()
        names = ", ".join(teacher.name for teacher in self.config.distilled)
        return (
            f"{self.config.objective.method}: predictions need the teachers {names}, which were loaded",
        )


def load_run(
    path: Path,
    weights: ModelName | None = None,
    overrides: Sequence[str] = (),
    checkpoint: Choice | None = None,
) -> TrainedRun:
    """Load a run's best model.

    Args:
        path: the run's folder.
        weights: the EMA model or the student; by default the model that selected the best checkpoint.
        overrides: `key=value` for keys of `evaluation.inference`, and for `runtime.device`.
        checkpoint: `best`, `last`, a number of trained steps, or the folder of a checkpoint; None loads the best.

    Raises:
        RunError: If there is no run or no such checkpoint, or the checkpoint is damaged, not finite or without a
            trained head.
        ConfigError: If an override is invalid, or changes settings of the training.
    """
    _require_free(overrides)
    folder = open_run(path)
    config = load_config(str(folder.config), overrides)
    chosen = chosen_checkpoint(folder, checkpoint)
    _require_head(chosen, folder)
    which = weights or config.evaluation.weights
    manifest = load_manifest(str(folder.manifest))
    shapes = [TokenShape(**shape) for shape in chosen.state["teachers"]]
    # The checkpoint has all weights, so the pretrained weights need not be on this machine.
    settings = config.student.model_copy(
        update={
            "weights": "random",
            # Runs record their statistics; earlier versions always had those of ImageNet.
            "mean": config.student.mean or IMAGENET_MEAN,
            "std": config.student.std or IMAGENET_STD,
        }
    )
    student = build_model(config, manifest, shapes, settings)
    load_weights(student, chosen.weights(which), chosen.path)
    device = inference_device(config)
    attach_teachers(student, config, chosen.state["parent"].get("stores", {}), device)
    student.to(device).eval()
    return TrainedRun(folder, config, chosen, which, student, manifest)


def map_inference(trained: TrainedRun) -> InferenceSettings:
    """Return the inference settings of maps: the run's windows, or else its crop size, with Hann blending.

    Raises:
        ConfigError: If the windows are not a multiple of the model's patch size.
    """
    inference = trained.config.evaluation.inference
    window = inference.window if inference.mode == "slide" else trained.config.views.crop
    sliding = inference.model_copy(update={"mode": "slide", "blend": "hann", "window": window})
    require_fitting_window(sliding, trained.student.patch)
    return sliding


def inference_device(config: ExperimentConfig) -> torch.device:
    """Return the device that the config allows: a GPU if there is one, else the CPU."""
    if config.runtime.device != "cpu" and torch.cuda.is_available():
        return torch.device("cuda")
    keep_freed_memory()
    return torch.device("cpu")


def _require_head(checkpoint: Checkpoint, folder: RunFolder) -> None:
    """Check that a method with a head trained the checkpoint.

    Raises:
        RunError: If the checkpoint was only distilled.
    """
    if (method := METHODS.get(checkpoint.state.get("method", ""))) and not method.trains_head:
        raise RunError(
            f"the method {method.name} does not train the head, so this model predicts no classes",
            where=checkpoint.path,
            remedy=train_command(
                folder.config,
                f"{folder.path}-rs-mtdf",
                f"--init-from {shlex.quote(str(folder.path))} --set objective.method=rs-mtdf",
            ),
        )


def _require_free(overrides: Sequence[str]) -> None:
    """Check that overrides only affect inference or the device."""
    for override in overrides:
        key = override.partition("=")[0]
        fields = fields_at(ExperimentConfig, key)
        if not all(role_of(field) in {Role.SCORING, Role.SPEED} for _, _, field in fields):
            raise ConfigError(
                f"{key} cannot be changed for a trained run",
                where=f"--set {override}",
                remedy="only set evaluation.inference.* or runtime.device",
            )
