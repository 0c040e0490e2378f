"""Imports checkpoints of the official RS-MTDF code as runs, to evaluate, predict, export or train further."""

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline.config import ExperimentConfig, load_config
from pipeline.packaged import packaged_configs
from pipeline.reporter import Reporter, Silent
from rsmtdf_core.errors import ConfigError, MissingFileError, RunError, TeacherError
from rsmtdf_core.files import require_writable_folder
from rsmtdf_core.fingerprints import file_sha256
from rsmtdf_core.runs.checkpoint import load_weights, require_finite, save_checkpoint
from rsmtdf_core.runs.folder import RunFolder
from rsmtdf_core.runs.starting import delete_run, prepare_run
from rsmtdf_core.scenes.manifest import Manifest, load_manifest
from rsmtdf_core.settings import Settings
from rsmtdf_core.student.model import Student
from rsmtdf_core.student.official import CROP, OfficialShape, from_official, official_shape
from rsmtdf_core.student.settings import ModelName
from rsmtdf_core.training.ema import ema_copy
from rsmtdf_core.training.loop import make_optimiser
from rsmtdf_core.weights.files import open_weights, read_tensor
from rsmtdf_core.weights.pickles import StoredTensor

RUNS = Path("runs")
PUBLISHED = "-published"
"""Ends the names of packaged configs that follow the published recipe of a dataset."""
_KEYS: dict[ModelName, str] = {"student": "model", "ema": "model_ema"}
_OFFICIAL = "give a file saved by the official RS-MTDF code, such as best.pth"


class ImportReport(Settings):
    """The result of an import.

    Attributes:
        run: the run's folder.
        size: size of the encoder: small, base or large.
        parameters: number of parameters of the student.
        left_out: number of skipped tensors, of teachers and of parts that do not affect the output.
        weights: the model that is scored by default.
        official_score: mIoU recorded in the checkpoint, in percent; None if there is no record.
    """

    run: Path
    size: str
    parameters: int
    left_out: int
    weights: ModelName
    official_score: float | None


def import_official(
    checkpoint: Path,
    dataset: str,
    *,
    root: Path | None = None,
    run: Path | None = None,
    weights: ModelName = "student",
    splits: str | None = None,
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> ImportReport:
    """Create a run from an official checkpoint (`best.pth` or `latest.pth`).

    If the checkpoint has both models, both are kept. The official code selects and tests the student.

    Args:
        checkpoint: the official file.
        dataset: name or file of the manifest with the classes.
        root: the dataset's folder; None uses `data/<dataset>`.
        run: the folder of the new run; None uses `runs/<dataset>-<size>-official`.
        weights: the model that is scored by default.
        splits: name or file of the manifest that lists the scenes that the model was trained on; None if they are
            unknown, which reports then repeat.
        overwrite: delete an existing run.
        reporter: shows warnings.

    Raises:
        MissingFileError: If the checkpoint does not exist.
        ConfigError: If a manifest is missing or invalid, or `splits` lists no training scenes.
        RunError: If the file is not an official checkpoint, lacks the model, or has other classes than the dataset,
            or the folder has a run already.
        WriteError: If a file cannot be written.
    """
    reporter = reporter or Silent()
    require_writable_folder(run or RUNS)
    manifest = load_manifest(dataset)
    trained_on = None if splits is None else _listing(splits)
    content, states = _read(checkpoint)
    if weights not in states:
        raise RunError(
            f"the checkpoint has no '{_KEYS[weights]}'",
            where=checkpoint,
            remedy=f"its keys are {', '.join(_names(content))}; see --model",
        )
    shape = official_shape(states[weights])
    _require_classes(shape, manifest, checkpoint)
    config = _config(shape, manifest, dataset, root, weights)
    student = Student(config.student, shape.classes, CROP, shape.teachers)
    load_weights(student, states.get("student") or states["ema"], checkpoint)
    ema = ema_copy(student)
    load_weights(ema, states.get("ema") or states["student"], checkpoint)
    folder = RunFolder(run or RUNS / f"{config.name}-official")
    digest = file_sha256(checkpoint)
    prepare_run(
        folder,
        config,
        manifest,
        resume=False,
        overwrite=overwrite,
        initial={"path": str(checkpoint.resolve()), "fingerprint": digest},
        trained_on=trained_on,
    )
    state: dict[str, Any] = {
        "step": 0,
        "epoch": int(_number(content, "epoch") or 0),
        "scaler": None,
        "parent": {"views": None, "plan": None, "stores": {}, "official": digest},
        "teachers": [asdict(teacher) for teacher in shape.teachers],
        "random_teachers": [],
        "approximations": [],
    }
    try:
        save_checkpoint(folder.best, student, ema, make_optimiser(student, config.optimiser), state)
        folder.note(status="finished", steps=0)
    except OSError:
        with suppress(OSError):  # so that the same command works once the disk has space
            delete_run(folder)
        raise
    if len(states) < len(_KEYS):
        only = next(iter(states))
        reporter.warn(f"the checkpoint has only the {only} model, which is used for both models")
    left_out = len(content[_KEYS[weights]]) - len(states[weights])
    return ImportReport(
        run=folder.path,
        size=shape.size,
        parameters=sum(parameter.numel() for parameter in student.parameters()),
        left_out=left_out,
        weights=weights,
        official_score=_number(content, "previous_best"),
    )


def _listing(splits: str) -> Manifest:
    """Return the manifest that lists the training scenes of a model."""
    remedy = (
        "pass the manifest that `rsmtdf data prepare BENCHMARK --from DIR --splits LISTS --to DIR` writes for the "
        "lists of its training, such as prepared/potsdam-official-1.yaml"
    )
    try:
        manifest = load_manifest(splits)
    except ConfigError as error:
        raise ConfigError(error.what, where=f"--splits {splits}", remedy=remedy) from None
    train = manifest.splits.get("train")
    if train is None or train.scenes is None:
        raise ConfigError(
            f"the manifest {manifest.name} does not list its training scenes",
            where=f"--splits {splits}",
            remedy=remedy,
        )
    return manifest


def _read(path: Path) -> tuple[dict[str, Any], dict[ModelName, dict[str, Tensor]]]:
    """Read the checkpoint's dictionary and the state of each model, except for the tensors of teachers."""
    if not path.exists():
        raise MissingFileError("the checkpoint does not exist", where=path)
    try:
        with open_weights(path) as file:
            content = file.structure
            if not isinstance(content, dict) or not any(key in content for key in _KEYS.values()):
                keys = ", ".join(_names(content)[:5]) or "none"
                raise RunError(
                    f"not an official checkpoint: expected 'model' or 'model_ema', found {keys}",
                    where=path,
                    remedy=_OFFICIAL,
                )
            states = {
                model: {
                    name: read_tensor(file, tensor) for name, tensor in _state(content, model, path)
                }
                for model in _KEYS
                if _KEYS[model] in content
            }
    except TeacherError as fault:
        raise RunError(fault.what, where=path, remedy=fault.remedy) from fault
    for state in states.values():
        require_finite(state, path)
    return content, states


def _names(content: object) -> list[str]:
    return (
        sorted(key for key in content if isinstance(key, str)) if isinstance(content, dict) else []
    )


def _number(content: Mapping[str, Any], key: str) -> float | None:
    """Return a number that the checkpoint records, or None."""
    value = content.get(key)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _state(
    content: Mapping[str, Any], model: ModelName, path: Path
) -> Iterable[tuple[str, StoredTensor | Tensor]]:
    """Rename the student's tensors to our names, without reading them. `official_shape` checks their sizes."""
    state = content[_KEYS[model]]
    where = f"{path}: {_KEYS[model]}"
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, StoredTensor | Tensor)
        for name, tensor in state.items()
    ):
        raise RunError("expected names and tensors", where=where, remedy=_OFFICIAL)
    try:
        return from_official(state).items()
    except RunError as error:
        raise RunError(error.what, where=where, remedy=error.remedy) from error


def _require_classes(shape: OfficialShape, manifest: Manifest, path: Path) -> None:
    if shape.classes != len(manifest.classes):
        raise RunError(
            f"the checkpoint has {shape.classes} classes, {manifest.name} has "
            f"{len(manifest.classes)}: {', '.join(manifest.class_names)}",
            where=path,
            remedy="name the dataset that it was trained on with --dataset",
        )


def _recipe(manifest: Manifest) -> ExperimentConfig:
    """Return the packaged config of the published recipe for the manifest's classes, or else that of any classes."""
    recipes = [load_config(name) for name in packaged_configs() if name.endswith(PUBLISHED)]
    for recipe in recipes:
        if load_manifest(recipe.data.manifest).class_names == manifest.class_names:
            return recipe
    return recipes[0]


def _config(
    shape: OfficialShape, manifest: Manifest, dataset: str, root: Path | None, weights: ModelName
) -> ExperimentConfig:
    recipe = _recipe(manifest)
    expected = {teacher.teacher for teacher in shape.teachers}
    if {teacher.name for teacher in recipe.teachers} != expected:
        raise ConfigError("the recipe's teachers are not the official ones", where=recipe.name)
    student = recipe.student.model_copy(
        update={
            "encoder": f"vit_{shape.size}_patch14_dinov2",
            "weights": "random",
            "head": shape.head,
            "translator_hidden": shape.translator_hidden,
        }
    )
    data = root or Path("data") / manifest.name
    return recipe.model_copy(
        update={
            "name": f"{manifest.name}-{shape.size}",
            "data": recipe.data.model_copy(update={"manifest": dataset, "root": data}),
            "views": recipe.views.model_copy(update={"crop": CROP}),
            "student": student,
            "evaluation": recipe.evaluation.model_copy(update={"weights": weights}),
        }
    )
