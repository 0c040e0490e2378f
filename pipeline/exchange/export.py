"""Exports the student as safetensors, torch.export or ONNX, and checks the file against the run's model."""

import shlex
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.export import ExportedProgram

from pipeline.exchange.pair import (
    FORMAT,
    exportable,
    facts_path,
    origin,
    pair_folder,
    remove_command,
    require_free,
    require_packages,
    tracing,
    write_facts,
)
from pipeline.reporter import Reporter, Silent
from pipeline.trained import TrainedRun, load_run
from rsmtdf_core.errors import RunError
from rsmtdf_core.evaluation.averaging import Network
from rsmtdf_core.files import atomic_file, atomic_path, sync_file
from rsmtdf_core.fingerprints import file_sha256
from rsmtdf_core.runs.best import Choice
from rsmtdf_core.runs.checkpoint import load_weights, require_finite
from rsmtdf_core.runs.seals import read_sealed_json
from rsmtdf_core.scenes.bands import SHOWN
from rsmtdf_core.settings import Settings
from rsmtdf_core.student.model import Student
from rsmtdf_core.student.portable import (
    LEAST_UNITS,
    MOST_IMAGES,
    MOST_UNITS,
    PortableStudent,
    export_program,
)
from rsmtdf_core.student.settings import ModelName, StudentSettings
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.weights.saving import save_tensors

ExportFormat = Literal["safetensors", "pt2", "onnx"]
# The keys of files written by earlier versions, which have no seal.
_EARLIER = (
    *(
        "format",
        "rsmtdf",
        "torch",
        "run",
        "checkpoint",
        "weights",
        "cautions",
        "dataset",
        "classes",
    ),
    *("input", "output", "crop", "inference", "student", "teachers"),
)
TOLERANCE = 1e-4
"""Maximum difference of two logits, in units of the largest logit."""

_OTHER_EXPORTS = (
    "export tiles of one size with --for qgis, or the weights with --format safetensors"
)


class ExportCheck(Settings):
    """The difference between the logits of a file and of the run's model.

    Attributes:
        images: batch size.
        height, width: size of each image, px.
        difference: largest difference of two logits, in units of the largest logit.
    """

    images: int
    height: int
    width: int
    difference: float


class ExportReport(Settings):
    """The files of an export, and their checks.

    Attributes:
        file: the model file.
        facts: the JSON file that describes it.
        checks: comparisons with the run's model at three sizes.
        cautions: warnings about the validity of its predictions.
    """

    file: Path
    facts: Path
    checks: tuple[ExportCheck, ...]
    cautions: tuple[str, ...]


def export_run(
    run: Path,
    out: Path,
    kind: ExportFormat,
    *,
    weights: ModelName | None = None,
    overwrite: bool = False,
    reporter: Reporter | None = None,
    checkpoint: Choice | None = None,
) -> ExportReport:
    """Write a run's best model into the folder `out`, read it back, and compare it with the run's model.

    Args:
        run: the run's folder.
        out: folder for `student.<kind>` and `student.<kind>.json`.
        kind: format of the file.
        weights: the EMA model or the student; None uses the model validated during training.
        overwrite: replace existing files.
        reporter: shows progress.
        checkpoint: `best`, `last`, a number of trained steps, or the folder of a checkpoint; None uses the best.

    Raises:
        ConfigError: If the packages of the format are not installed.
        RunError: If files exist already, or if the logits of the written model differ too much. Such a model
            is deleted.
        WriteError: If a file cannot be written.
    """
    reporter = reporter or Silent()
    if kind == "onnx":
        require_packages("--format onnx")
    file = out / f"student.{kind}"
    require_free(file, overwrite=overwrite)
    with reporter.status("loading the run"):
        trained = load_run(run, weights, checkpoint=checkpoint)
    portable = PortableStudent(exportable(trained).cpu())
    with pair_folder(file) as folder:
        written = folder / file.name
        with reporter.status(f"writing {file}"):
            _WRITERS[kind](portable, trained, written)
        write_facts(written, _facts(trained, portable, kind))
        with (
            reporter.status("comparing its logits with the run's model"),
            tracing(
                trained, _OTHER_EXPORTS
            ),  # a traced program refuses sizes that its trace excludes
        ):
            checks = _compare(trained, portable, _READERS[kind](written))
    return ExportReport(file=file, facts=facts_path(file), checks=checks, cautions=trained.cautions)


def load_exported(file: Path) -> Student:
    """Load the student of a `student.safetensors`, in eval mode on the CPU.

    Raises:
        RunError: If a file is missing or damaged, or the files do not belong together.
    """
    try:
        facts_file = facts_path(file)
        facts = FORMAT.current(read_sealed_json(facts_file, _EARLIER), facts_file, RunError)
        # Earlier versions did not write a digest.
        _require_digest(file, facts.get("sha256"))
        student = _student(facts)
        weights = load_file(file)
        require_finite(weights, file)
        load_weights(student, weights, file)
    except RunError as damage:
        raise RunError(damage.what, where=damage.where, remedy=_export_again(file)) from None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as damage:
        message = f"the student cannot be read: {damage!r}"
        raise RunError(message, where=file, remedy=_export_again(file)) from None
    return student.eval()


def _require_digest(file: Path, expected: str | None) -> None:
    if not file.is_file():
        raise RunError("the file is missing or not a regular file", where=file)
    if expected is not None and file_sha256(file) != expected:
        raise RunError("the file is damaged: it was changed after it was written", where=file)


def _student(facts: dict[str, Any]) -> Student:
    """Build the student that the facts describe, without its weights."""
    settings = StudentSettings(**facts["student"])
    shapes = [TokenShape(**shape) for shape in facts["teachers"]]
    bands = facts["input"].get("bands", SHOWN)  # missing in files of earlier versions
    return Student(settings, len(facts["classes"]), facts["crop"], shapes, bands=bands)


def _export_again(file: Path) -> str:
    """Return the commands that write the file and its JSON again."""
    folders = [path for path in (file, facts_path(file)) if path.is_dir()]
    out = shlex.quote(str(file.parent))
    export = f"rsmtdf export RUN --out {out} --format safetensors --overwrite"
    return "; then ".join([*map(remove_command, folders), export])


def _facts(trained: TrainedRun, portable: PortableStudent, kind: ExportFormat) -> dict[str, Any]:
    """Describe the file for programs that use it: input, output, classes and origin."""
    student, normalises = portable.student, kind != "safetensors"
    return {
        **origin(trained),
        "input": {
            "images": ("uint8" if normalises else "normalised float32")
            + f" [B, {student.bands}, H, W], RGB first",
            "bands": student.bands,
            "mean": list(student.mean),
            "std": list(student.std),
            "normalisation": "inside" if normalises else "(images / 255 - mean) / std",
            "multiple_of": portable.unit,
            "least": LEAST_UNITS * portable.unit,
            "most": MOST_UNITS * portable.unit,
            "most_images": MOST_IMAGES,
        },
        "output": "logits float32 [B, classes, H, W]",
    }


def _compare(
    trained: TrainedRun, portable: PortableStudent, run: Network
) -> tuple[ExportCheck, ...]:
    """Compare an exported model with the run's model at three sizes.

    Raises:
        RunError: If a difference exceeds `TOLERANCE`.
    """
    unit, crop = portable.unit, trained.config.views.crop
    units = max(crop // unit, LEAST_UNITS)
    sizes = [
        (1, units * unit, units * unit),
        (2, LEAST_UNITS * unit, (LEAST_UNITS + 1) * unit),
        (1, (units + 1) * unit, (units + 3) * unit),
    ]
    generator = torch.Generator().manual_seed(0)
    checks = []
    for images, height, width in sizes:
        shape = (images, trained.student.bands, height, width)
        pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        with torch.inference_mode():
            expected = trained.student.logits(trained.student.normalise(pixels)).float()
        logits = run(pixels)
        difference = float((logits - expected).abs().max() / expected.abs().max())
        checks.append(ExportCheck(images=images, height=height, width=width, difference=difference))
        if not difference <= TOLERANCE:
            raise RunError(
                f"the exported model differs from the run's model: at {height} x {width} px by {difference:.1e} of "
                f"the largest logit, more than {TOLERANCE:.0e}; it was deleted",
                where=trained.folder.path,
                remedy="try another --format",
            )
    return tuple(checks)


def _write_safetensors(_portable: PortableStudent, trained: TrainedRun, file: Path) -> None:
    state = trained.student.state_dict()
    save_tensors({name: tensor.contiguous() for name, tensor in state.items()}, file)


def _read_safetensors(file: Path) -> Network:
    student = load_exported(file)

    def run(pixels: Tensor) -> Tensor:
        with torch.inference_mode():
            return student.logits(student.normalise(pixels)).float()

    return run


def _write_program(portable: PortableStudent, trained: TrainedRun, file: Path) -> None:
    # On a full disk torch's writer ends the process with an error that cannot be caught.
    content = BytesIO()
    torch.export.save(_traced(portable, trained), content)
    with atomic_file(file) as written:
        written.write(content.getbuffer())


def _read_program(file: Path) -> Network:
    module = torch.export.load(file).module()

    def run(pixels: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = module(pixels)
        return logits

    return run


def _write_onnx(portable: PortableStudent, trained: TrainedRun, file: Path) -> None:
    exported = _traced(portable, trained)
    with tracing(trained, _OTHER_EXPORTS):
        program = torch.onnx.export(
            exported, dynamo=True, verbose=False, input_names=["images"], output_names=["logits"]
        )
    assert program is not None
    with atomic_path(file) as temporary:
        program.save(temporary)
        sync_file(temporary)


def _read_onnx(file: Path) -> Network:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda pixels: torch.from_numpy(session.run(["logits"], {"images": pixels.numpy()})[0])


def _traced(portable: PortableStudent, trained: TrainedRun) -> ExportedProgram:
    with tracing(trained, _OTHER_EXPORTS):
        return export_program(portable, _side(portable, trained))


def _side(portable: PortableStudent, trained: TrainedRun) -> int:
    return max(trained.config.views.crop // portable.unit, LEAST_UNITS) * portable.unit


_WRITERS: dict[ExportFormat, Callable[[PortableStudent, TrainedRun, Path], None]] = {
    "safetensors": _write_safetensors,
    "pt2": _write_program,
    "onnx": _write_onnx,
}
_READERS: dict[ExportFormat, Callable[[Path], Network]] = {
    "safetensors": _read_safetensors,
    "pt2": _read_program,
    "onnx": _read_onnx,
}
