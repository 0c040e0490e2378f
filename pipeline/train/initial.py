"""The initial weights of a new run, from another run, a checkpoint, or a file with our tensor names."""

from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from pipeline.config import load_config
from pipeline.origin import trained_on
from pipeline.reporter import Reporter
from rsmtdf_core.errors import MissingFileError, RunError, TeacherError
from rsmtdf_core.fingerprints import differences, file_sha256
from rsmtdf_core.kinds import METHODS
from rsmtdf_core.runs.best import best_checkpoint
from rsmtdf_core.runs.checkpoint import Checkpoint, load_checkpoint, require_finite
from rsmtdf_core.runs.folder import RunFolder, open_run
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.student.segmenter import Segmenter
from rsmtdf_core.student.settings import ModelName
from rsmtdf_core.weights.states import read_state

_ALWAYS = ("encoder", "head")
# Parts that a method without a head does not train.
_UNTRAINED = ("head", "fusion")


@dataclass(frozen=True, slots=True)
class Initial:
    """The initial weights of a run.

    Attributes:
        path: the source file or checkpoint.
        fingerprint: fingerprint of the checkpoint, or sha256 of the file.
        which: the model of the checkpoint; None for a file.
        weights: tensors by our names.
        headless: the method of the checkpoint if it does not train the head, else None.
        run: the run of the checkpoint; None for a file, or a checkpoint outside a run.
    """

    path: Path
    fingerprint: str
    which: ModelName | None
    weights: dict[str, Tensor]
    headless: str | None = None
    run: RunFolder | None = None

    @property
    def facts(self) -> dict[str, str]:
        """The description of the initial weights in run.json."""
        facts = {"path": str(self.path.resolve()), "fingerprint": self.fingerprint}
        if self.which is not None:
            facts["weights"] = str(self.which)
        if self.run is not None and self.run.origin is not None:
            facts["origin"] = self.run.origin
        return facts

    @property
    def trained_on(self) -> Manifest | None:
        """The manifest with the training scenes of another program's model; None without such a model or manifest."""
        return None if self.run is None else trained_on(self.run)


def find_initial(path: Path) -> Initial:
    """Load the weights in `path`: a run's folder (its best checkpoint), a checkpoint, or a weights file.

    Of the two models in a checkpoint, load the model that selects the best checkpoint of the run.

    Raises:
        RunError: If there are no weights, or they are damaged.
        MissingFileError: If `path` does not exist.
    """
    if (path / "run.json").is_file():
        folder = open_run(path)
        return _of_checkpoint(best_checkpoint(folder, "--init-from"), folder)
    if (path / "state.json").is_file():
        run = RunFolder(path.resolve().parent.parent)
        return _of_checkpoint(
            load_checkpoint(path), open_run(run.path) if run.marker.is_file() else None
        )
    if not path.exists():
        raise MissingFileError(
            "there is no such file or folder",
            where=f"--init-from {path}",
            remedy="pass a run's folder, a checkpoint's folder, or a weights file",
        )
    if not path.is_file():
        raise RunError(
            "this is neither a run's folder, nor a checkpoint's folder, nor a weights file",
            where=f"--init-from {path}",
            remedy="pass one of these three",
        )
    try:
        weights = read_state(path)
    except TeacherError as fault:
        raise RunError(fault.what, where=f"--init-from {path}", remedy=fault.remedy) from fault
    require_finite(weights, path)
    return Initial(path, file_sha256(path), None, weights)


def _of_checkpoint(checkpoint: Checkpoint, run: RunFolder | None) -> Initial:
    which = "ema" if run is None else load_config(str(run.config)).evaluation.weights
    weights = checkpoint.weights(which)
    method = METHODS.get(checkpoint.state.get("method", ""))
    headless = method.name if method and not method.trains_head else None
    return Initial(checkpoint.path, checkpoint.fingerprint, which, weights, headless, run)


def start_from(initial: Initial, student: Segmenter, ema: Segmenter, reporter: Reporter) -> None:
    """Load the weights into both models and report the parts that were not loaded.

    Encoder and head must fit, except for the head's last convolution if the number of classes differs.
    Translators and fusion layers are loaded separately, each if it fits. Head and fusion of a checkpoint whose method
    trains neither are not loaded.

    Raises:
        RunError: If the encoder or the head belongs to another model.
    """
    state = student.state_dict()
    if initial.headless is not None:
        # The student's own random head and fusion take the position of those that were never trained.
        trained = {name: t for name, t in initial.weights.items() if _unit(name) not in _UNTRAINED}
        kept = {name: t for name, t in state.items() if _unit(name) in _UNTRAINED}
        initial = replace(initial, weights=trained | kept)
    other_classes = _require_fitting(initial, state, student.last_layer)
    parts = {_part(name) for name in state if _unit(name) not in _ALWAYS}
    fitting = {part for part in parts if _of(state, part) == _of(initial.weights, part)}
    loaded = {
        name: initial.weights[name]
        for name in state
        if name not in other_classes and (_unit(name) in _ALWAYS or _part(name) in fitting)
    }
    for model in (student, ema):
        model.load_state_dict(state | loaded)
    which = "" if initial.which is None else f" (the {initial.which} model)"
    unused = {_part(name) for name in initial.weights if _unit(name) not in _ALWAYS} - fitting
    parts_of_message = [f"starting from {initial.path}{which}"]
    if missing := parts - fitting:
        parts_of_message.append(f"randomly initialized, as the shapes differ: {_listed(missing)}")
    if initial.headless is not None:
        parts_of_message.append(
            f"{initial.headless} does not train head and fusion, so they are randomly initialized"
        )
    if unused:
        parts_of_message.append(f"not used: {_listed(unused)}")
    reporter.say("; ".join(parts_of_message))
    if other_classes:
        reporter.warn(
            f"{initial.path} has {len(initial.weights[other_classes[0]])} classes, this run has "
            f"{len(state[other_classes[0]])}: the head's last layer is randomly initialized"
        )


def _require_fitting(
    initial: Initial, state: dict[str, Tensor], last: tuple[str, str]
) -> tuple[str, ...]:
    """Return the names that differ only by the number of classes; raise RunError if others differ."""
    expected, shapes = (
        {name: list(tensor.shape) for name, tensor in tensors.items() if _unit(name) in _ALWAYS}
        for tensors in (state, initial.weights)
    )
    excused = tuple(
        name
        for name in last
        if name in shapes
        and expected[name] != shapes[name]
        and expected[name][1:] == shapes[name][1:]
    )
    for name in excused:
        del expected[name], shapes[name]
    wrong = list(differences(expected, shapes))
    if wrong:
        raise RunError(
            f"{len(wrong)} tensors of encoder and head do not fit: {'; '.join(wrong[:5])}",
            where=f"--init-from {initial.path}",
            remedy="use the `student` settings of the run that they come from",
        )
    return excused


def _unit(name: str) -> str:
    return name.partition(".")[0]


def _part(name: str) -> str:
    """Return the unit that a tensor of translators or fusion is loaded with: `translators.dino`, or a layer."""
    if name.startswith("translators."):
        return ".".join(name.split(".")[:2])
    return name.rpartition(".")[0]


def _of(tensors: dict[str, Tensor], part: str) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in tensors.items() if _part(name) == part}


def _listed(parts: set[str]) -> str:
    return ", ".join(sorted(parts))
