"""Weights that a new run starts from: those of another run, of a checkpoint, or of a file with our names."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pipeline.config import load_config
from pipeline.reporter import Reporter
from rsmtdf_core.errors import MissingFileError, RunError, TeacherError
from rsmtdf_core.fingerprints import differences, file_sha256
from rsmtdf_core.runs.best import best_checkpoint
from rsmtdf_core.runs.checkpoint import Checkpoint, load_checkpoint, require_finite
from rsmtdf_core.runs.folder import RunFolder, open_run
from rsmtdf_core.student.model import Student
from rsmtdf_core.student.settings import ModelName
from rsmtdf_core.weights.states import read_state

_ALWAYS = ("encoder", "head")


@dataclass(frozen=True, slots=True)
class Initial:
    """Weights to start from.

    Attributes:
        path: the file or the checkpoint that they come from.
        fingerprint: of the checkpoint, or the file's sha256.
        which: the model of the checkpoint; None for a file.
        weights: tensors by our names.
    """

    path: Path
    fingerprint: str
    which: ModelName | None
    weights: dict[str, Tensor]

    @property
    def facts(self) -> dict[str, str]:
        """What a run keeps of its start."""
        named = {} if self.which is None else {"weights": str(self.which)}
        return {"path": str(self.path.resolve()), "fingerprint": self.fingerprint, **named}


def find_initial(path: Path) -> Initial:
    """The weights in `path`: a run's folder (its best checkpoint), a checkpoint's, or a weights file.

    Of a run's two models it is the one that the run was selected by.

    Raises:
        RunError: where there are no weights, or damaged ones.
        MissingFileError: where there is nothing.
    """
    if (path / "run.json").is_file():
        folder = open_run(path)
        return _of_checkpoint(best_checkpoint(folder, "--init-from"), _selected_by(folder))
    if (path / "state.json").is_file():
        run = RunFolder(path.resolve().parent.parent)
        return _of_checkpoint(
            load_checkpoint(path),
            _selected_by(open_run(run.path)) if run.marker.is_file() else "ema",
        )
    if not path.exists():
        raise MissingFileError(
            "there is no such file or folder",
            where=f"--init-from {path}",
            remedy="name a run's folder, a checkpoint's, or a weights file",
        )
    if not path.is_file():
        raise RunError(
            "this is neither a run's folder, nor a checkpoint's, nor a weights file",
            where=f"--init-from {path}",
            remedy="name one of the three",
        )
    try:
        weights = read_state(path)
    except TeacherError as fault:
        raise RunError(fault.what, where=f"--init-from {path}", remedy=fault.remedy) from fault
    require_finite(weights, path)
    return Initial(path, file_sha256(path), None, weights)


def _selected_by(run: RunFolder) -> ModelName:
    return load_config(str(run.config)).evaluation.weights


def _of_checkpoint(checkpoint: Checkpoint, which: ModelName) -> Initial:
    return Initial(checkpoint.path, checkpoint.fingerprint, which, checkpoint.weights(which))


def start_from(initial: Initial, student: Student, ema: Student, reporter: Reporter) -> None:
    """Load the weights into both models and tell what they left out.

    Encoder and head must fit, but for the head's last convolution where the number of classes differs.
    What belongs to teachers is loaded part by part, where it fits.

    Raises:
        RunError: where encoder or head is of another model.
    """
    own = student.state_dict()
    other_classes = _require_fitting(initial, own, _last_layer(student))
    parts = {_part(name) for name in own if name.split(".")[0] not in _ALWAYS}
    fitting = {part for part in parts if _of(own, part) == _of(initial.weights, part)}
    loaded = {
        name: initial.weights[name]
        for name in own
        if name not in other_classes and (name.split(".")[0] in _ALWAYS or _part(name) in fitting)
    }
    for model in (student, ema):
        model.load_state_dict(own | loaded)
    which = "" if initial.which is None else f" (the {initial.which} model)"
    unused = {
        _part(name) for name in initial.weights if name.split(".")[0] not in _ALWAYS
    } - fitting
    told = [f"starting from {initial.path}{which}"]
    if missing := parts - fitting:
        told.append(f"not found there in this shape, left as initialised: {_listed(missing)}")
    if unused:
        told.append(f"not taken from there: {_listed(unused)}")
    reporter.say("; ".join(told))
    if other_classes:
        reporter.warn(
            f"{initial.path} knows {len(initial.weights[other_classes[0]])} classes, this run "
            f"{len(own[other_classes[0]])}: the head's last layer is left as initialised"
        )


def _last_layer(student: Student) -> tuple[str, str]:
    last = f"head.output.{len(student.head.output) - 1}"
    return f"{last}.weight", f"{last}.bias"


def _require_fitting(
    initial: Initial, own: dict[str, Tensor], last: tuple[str, str]
) -> tuple[str, ...]:
    """The names that differ by the number of classes alone; RunError where others differ."""
    expected, found = (
        {name: list(one.shape) for name, one in tensors.items() if name.split(".")[0] in _ALWAYS}
        for tensors in (own, initial.weights)
    )
    excused = tuple(
        name
        for name in last
        if name in found and expected[name] != found[name] and expected[name][1:] == found[name][1:]
    )
    for name in excused:
        del expected[name], found[name]
    wrong = list(differences(expected, found))
    if wrong:
        raise RunError(
            f"{len(wrong)} tensors of encoder and head do not fit: {'; '.join(wrong[:5])}",
            where=f"--init-from {initial.path}",
            remedy="use the `student` settings of the run that they come from",
        )
    return excused


def _part(name: str) -> str:
    """What a tensor of translators or fusion stands or falls with: `translators.dino`, or a layer."""
    if name.startswith("translators."):
        return ".".join(name.split(".")[:2])
    return name.rpartition(".")[0]


def _of(tensors: dict[str, Tensor], part: str) -> dict[str, list[int]]:
    return {name: list(one.shape) for name, one in tensors.items() if _part(name) == part}


def _listed(parts: set[str]) -> str:
    return ", ".join(sorted(parts))
