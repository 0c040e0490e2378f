"""Runs from checkpoints of the official RS-MTDF code: scored, predicted with, exported or trained on like our own."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline.config import ExperimentConfig, load_config
from pipeline.reporter import Reporter, Silent
from rsmtdf_core.errors import ConfigError, MissingFileError, RunError, TeacherError
from rsmtdf_core.fingerprints import file_sha256
from rsmtdf_core.runs.checkpoint import load_weights, require_finite, save_checkpoint
from rsmtdf_core.runs.folder import RunFolder
from rsmtdf_core.scenes.manifest import Manifest, load_manifest
from rsmtdf_core.settings import Settings
from rsmtdf_core.student.model import Student
from rsmtdf_core.student.official import CROP, OfficialShape, from_official, official_shape
from rsmtdf_core.student.settings import ModelName
from rsmtdf_core.training.ema import ema_copy
from rsmtdf_core.training.loop import make_optimiser
from rsmtdf_core.weights.files import open_weights, read_tensor
from rsmtdf_core.weights.pickles import StoredTensor

# The packaged config that has the reference's teachers and recipe.
RECIPE = "loveda"
_KEYS: dict[ModelName, str] = {"student": "model", "ema": "model_ema"}
_OFFICIAL = "give a file that the official RS-MTDF code saved, such as best.pth"


class ImportReport(Settings):
    """What an import made.

    Attributes:
        run: the run's folder.
        size: of the encoder.
        parameters: of the student.
        left_out: tensors of the teachers that lay in the checkpoint, and of parts that never feed the output.
        weights: the model that is scored by default.
        official_score: the mIoU that the checkpoint says it reached, in percent; None where it says none.
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
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> ImportReport:
    """Make a run of an official checkpoint (`best.pth` or `latest.pth`).

    Both of its models are kept where it has both; the official code selects and tests the student.

    Args:
        checkpoint: the official file.
        dataset: a manifest's name or file, which tells what the classes are.
        root: where the dataset lies; None takes `data/<dataset>`.
        run: the folder to make; None takes `runs/<dataset>-<size>-official`.
        weights: which model is scored by default.
        overwrite: delete the run that is there.
        reporter: told what is left out.

    Raises:
        MissingFileError: there is no such file.
        RunError: it is no official checkpoint, lacks the model, or the classes are not the dataset's.
    """
    reporter = reporter or Silent()
    manifest = load_manifest(dataset)
    found, states = _read(checkpoint)
    if weights not in states:
        raise RunError(
            f"the checkpoint has no '{_KEYS[weights]}'",
            where=checkpoint,
            remedy=f"its keys are {', '.join(_names(found))}; see --model",
        )
    shape = official_shape(states[weights])
    _require_classes(shape, manifest, checkpoint)
    config = _config(shape, manifest, dataset, root, weights)
    student = Student(config.student, shape.classes, CROP, shape.teachers)
    load_weights(student, states.get("student") or states["ema"], checkpoint)
    ema = ema_copy(student)
    load_weights(ema, states.get("ema") or states["student"], checkpoint)
    folder = RunFolder(run or Path("runs") / f"{config.name}-official")
    digest = file_sha256(checkpoint)
    folder.prepare(
        config,
        manifest,
        resume=False,
        overwrite=overwrite,
        initial={"path": str(checkpoint.resolve()), "fingerprint": digest},
    )
    state: dict[str, Any] = {
        "step": 0,
        "epoch": int(_number(found, "epoch") or 0),
        "scaler": None,
        "parent": {"views": None, "plan": None, "stores": {}, "official": digest},
        "teachers": [asdict(one) for one in shape.teachers],
        "random_teachers": [],
        "approximations": [],
    }
    save_checkpoint(folder.best, student, ema, make_optimiser(student, config.optimiser), state)
    folder.note(status="finished", steps=0)
    if len(states) < len(_KEYS):
        only = next(iter(states))
        reporter.warn(f"the checkpoint has the {only} model alone: it serves as both")
    left_out = len(found[_KEYS[weights]]) - len(states[weights])
    return ImportReport(
        run=folder.path,
        size=shape.size,
        parameters=sum(one.numel() for one in student.parameters()),
        left_out=left_out,
        weights=weights,
        official_score=_number(found, "previous_best"),
    )


def _read(path: Path) -> tuple[dict[str, Any], dict[ModelName, dict[str, Tensor]]]:
    """The checkpoint's dictionary, and those of its models; tensors that are not the student's stay in the file."""
    if not path.exists():
        raise MissingFileError("the checkpoint does not exist", where=path)
    try:
        with open_weights(path) as file:
            found = file.structure
            if not isinstance(found, dict) or not any(key in found for key in _KEYS.values()):
                keys = ", ".join(_names(found)[:5]) or "none"
                raise RunError(
                    f"not an official checkpoint: expected 'model' or 'model_ema', found {keys}",
                    where=path,
                    remedy=_OFFICIAL,
                )
            states = {
                which: {name: read_tensor(file, one) for name, one in _state(found, which, path)}
                for which in _KEYS
                if _KEYS[which] in found
            }
    except TeacherError as fault:
        raise RunError(fault.what, where=path, remedy=fault.remedy) from fault
    for state in states.values():
        require_finite(state, path)
    return found, states


def _names(found: object) -> list[str]:
    return sorted(key for key in found if isinstance(key, str)) if isinstance(found, dict) else []


def _number(found: Mapping[str, Any], key: str) -> float | None:
    """A number that the checkpoint keeps beside its models; None where it has none."""
    value = found.get(key)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _state(
    found: Mapping[str, Any], which: ModelName, path: Path
) -> Iterable[tuple[str, StoredTensor | Tensor]]:
    """The student's tensors under our names, not read yet; `official_shape` knows whether the sizes are official."""
    state = found[_KEYS[which]]
    where = f"{path}: {_KEYS[which]}"
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(one, StoredTensor | Tensor)
        for name, one in state.items()
    ):
        raise RunError("expected names and tensors", where=where, remedy=_OFFICIAL)
    try:
        return from_official(state).items()
    except RunError as error:
        raise RunError(error.what, where=where, remedy=error.remedy) from error


def _require_classes(shape: OfficialShape, manifest: Manifest, path: Path) -> None:
    if shape.classes != len(manifest.classes):
        raise RunError(
            f"the checkpoint tells {shape.classes} classes apart, {manifest.name} has "
            f"{len(manifest.classes)}: {', '.join(manifest.class_names)}",
            where=path,
            remedy="name the dataset that it was trained on with --dataset",
        )


def _config(
    shape: OfficialShape, manifest: Manifest, dataset: str, root: Path | None, weights: ModelName
) -> ExperimentConfig:
    recipe = load_config(RECIPE)
    if {one.name for one in recipe.teachers} != {one.teacher for one in shape.teachers}:
        raise ConfigError("the recipe's teachers are not the official ones", where=RECIPE)
    student = recipe.student.model_copy(
        update={
            "encoder": f"vit_{shape.size}_patch14_dinov2",
            "weights": "random",
            "head": shape.head,
            "translator_hidden": shape.translator_hidden,
        }
    )
    place = root or Path("data") / manifest.name
    return recipe.model_copy(
        update={
            "name": f"{manifest.name}-{shape.size}",
            "data": recipe.data.model_copy(update={"manifest": dataset, "root": place}),
            "views": recipe.views.model_copy(update={"crop": CROP}),
            "student": student,
            "evaluation": recipe.evaluation.model_copy(update={"weights": weights}),
        }
    )
