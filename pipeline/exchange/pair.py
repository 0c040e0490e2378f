"""A model file with the JSON that describes it, written as a pair (tests: test_export.py)."""

import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from pipeline.trained import TrainedRun
from rsmtdf_core import __version__
from rsmtdf_core.errors import ConfigError, RsmtdfError, RunError
from rsmtdf_core.files import (
    make_folder,
    remove_leftovers,
    require_writable,
    sync_folder,
    temporary_path,
)
from rsmtdf_core.fingerprints import file_sha256
from rsmtdf_core.formats import FileFormat
from rsmtdf_core.refusals import writing
from rsmtdf_core.runs.seals import write_sealed_json
from rsmtdf_core.student.model import Student
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.words import shortened

FORMAT = FileFormat("exported model")
_LONGEST = 200  # characters of torch's reason in an error


def facts_path(file: Path) -> Path:
    """Return the path of the JSON that describes a model file."""
    return file.with_name(f"{file.name}.json")


def remove_command(folder: Path) -> str:
    """Return the command that removes a folder in place of a file."""
    return f"rm -r {shlex.quote(str(folder))}"


def require_packages(where: str) -> None:
    """Check that the packages of ONNX are installed.

    Raises:
        ConfigError: If one is missing; the error names the option `where`.
    """
    for name in ("onnx", "onnxruntime", "onnxscript"):
        if find_spec(name) is None:
            raise ConfigError(
                f"the package {name} is not installed",
                where=where,
                remedy="pip install 'rsmtdf[export]'",
            )


def require_free(file: Path, *, overwrite: bool) -> None:
    """Check before any work that a model and its JSON can be written.

    Raises:
        RunError: If a path is a folder, or the model exists and `overwrite` is false.
        WriteError: If the system refuses new files there.
    """
    for path in (file, facts_path(file)):
        if path.is_dir():
            raise RunError("the output path is a folder", where=path, remedy=remove_command(path))
    if file.exists() and not overwrite:
        raise RunError(
            "the file exists already", where=file, remedy="name another --out, or use --overwrite"
        )
    require_writable(file, facts_path(file))


def exportable(trained: TrainedRun) -> Student:
    """Return the student of a run.

    Raises:
        RunError: If the run's method trains another model.
    """
    if isinstance(trained.student, Student):
        return trained.student
    method = trained.config.objective.method
    raise RunError(
        f"the model of {method} is a head on the teachers' tokens: it cannot predict without the teachers, which an "
        "export does not include",
        where=trained.folder.path,
        remedy="export a run of another method, such as rs-mtdf",
    )


def origin(trained: TrainedRun) -> dict[str, Any]:
    """Return the facts of a model that do not depend on the kind of its file."""
    manifest = trained.manifest
    settings = trained.config.student.model_copy(update={"weights": "random"})
    return {
        "format": FORMAT.number,
        "rsmtdf": __version__,
        "torch": torch.__version__,
        "run": trained.folder.path.name,
        "checkpoint": trained.checkpoint.fingerprint,
        "weights": trained.weights,
        "cautions": list(trained.cautions),
        "dataset": manifest.name,
        "classes": [spec.model_dump(mode="json") for spec in manifest.classes],
        "crop": trained.config.views.crop,
        "inference": trained.config.evaluation.inference.model_dump(mode="json"),
        "student": settings.model_dump(mode="json"),
        "teachers": [asdict(TokenShape(**shape)) for shape in trained.checkpoint.state["teachers"]],
    }


@contextmanager
def pair_folder(file: Path) -> Iterator[Path]:
    """Yield a temporary folder for a model and its JSON, which `file` replaces if the block ends without an error.

    Raises:
        RunError: If the folder of `file` cannot be created.
        WriteError: If a file cannot be renamed.
    """
    make_folder(file.parent, RunError, "name another --out")
    remove_leftovers(file.parent)
    temporary = temporary_path(file)
    try:
        yield temporary
        _replace(temporary, file)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def tracing(trained: TrainedRun, remedy: str) -> Iterator[None]:
    """Turn the errors of tracing a student or of running its trace, which have any class, into one that names it.

    Raises:
        RunError: If the student cannot be exported.
    """
    try:
        yield
    except (RsmtdfError, OSError, MemoryError):
        raise
    except Exception as failure:  # noqa: BLE001 - torch raises any class
        encoder = trained.config.student.encoder
        message = shortened(str(failure).strip().partition("\n")[0], _LONGEST)
        raise RunError(
            f"the student '{encoder}' cannot be exported in this format: {type(failure).__name__}: {message}",
            where=trained.folder.path,
            remedy=remedy,
        ) from None


def write_facts(model: Path, facts: dict[str, Any]) -> None:
    """Write the JSON of a model, with the digest of the model's file and a seal."""
    write_sealed_json(facts_path(model), {**facts, "sha256": file_sha256(model)})


def _replace(written: Path, file: Path) -> None:
    """Move both files out of the folder `written`, so that a model never has the JSON of another model."""
    with writing(file):
        file.unlink(missing_ok=True)
    for path in (facts_path(file), file):
        with writing(path, written / path.name):
            (written / path.name).replace(path)
    sync_folder(file.parent)
