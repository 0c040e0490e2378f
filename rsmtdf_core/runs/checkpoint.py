"""Checkpoints: safetensors and JSON, written atomically; a run resumes from the newest intact one.

The module `retention` deletes old checkpoints.

checkpoints/step-00000120/
  student.safetensors     parameters and buffers
  ema.safetensors         parameters and buffers of the EMA model
  optimiser.safetensors   AdamW's moments by parameter name, the generators' states, the method's tensors, and the sums
                          of the logging interval that has not ended
  state.json              step, epoch, loss scaler, views and stores of the training, file digests; written last
"""

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from rsmtdf_core.errors import RunError
from rsmtdf_core.files import sync_folder
from rsmtdf_core.fingerprints import differences, file_sha256
from rsmtdf_core.refusals import writing
from rsmtdf_core.runs.checkpoint_state import (
    FILES,
    FORMAT,
    STATE,
    checkpoint_fingerprint,
    checkpoint_name,
    read_state,
)
from rsmtdf_core.runs.seals import write_sealed_json
from rsmtdf_core.weights.finite import not_finite
from rsmtdf_core.weights.saving import save_tensors

_RNG = "rng.torch"
_CUDA_RNG = "rng.cuda"
_METHOD = "method/"
_INTERVAL = "interval/"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint on disk, verified against its digests.

    Attributes:
        path: folder of the checkpoint.
        state: content of state.json without the digests.
        digests: sha256 of each other file, by name.
    """

    path: Path
    state: dict[str, Any]
    digests: dict[str, str]

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the whole checkpoint, including the views and stores of its training."""
        return checkpoint_fingerprint(self.state, self.digests)

    def weights(self, which: str) -> dict[str, Tensor]:
        """Load the tensors of `student` or `ema`, on the CPU.

        Raises:
            RunError: If a tensor contains NaN or infinity.
        """
        file = self.path / f"{which}.safetensors"
        tensors: dict[str, Tensor] = load_file(file)
        require_finite(tensors, file)
        return tensors

    @property
    def interval(self) -> dict[str, Tensor]:
        """The sums of the steps after the last logged line, by name; empty in checkpoints of earlier versions."""
        return self._more_tensors(_INTERVAL)

    def method_tensors(self) -> dict[str, Tensor]:
        """Load the tensors of the training method by name, on the CPU."""
        return self._more_tensors(_METHOD)

    def _more_tensors(self, prefix: str) -> dict[str, Tensor]:
        with safe_open(self.path / "optimiser.safetensors", "pt") as file:
            names = [name for name in sorted(file.keys()) if name.startswith(prefix)]
            return {name.removeprefix(prefix): file.get_tensor(name) for name in names}

    def restore(
        self,
        student: nn.Module,
        ema: nn.Module,
        optimiser: torch.optim.Optimizer,
        method: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Load the models, moments, generator states and the tensors of the method by name, in place.

        The state of the GPU's generator is only restored if the checkpoint has it and the student is on a GPU.

        Raises:
            RunError: If the weights are those of another model, or the tensors those of another method.
        """
        load_weights(student, self.weights("student"), self.path)
        load_weights(ema, self.weights("ema"), self.path)
        tensors: dict[str, Tensor] = load_file(self.path / "optimiser.safetensors")
        torch.set_rng_state(tensors.pop(_RNG))
        cuda, device = tensors.pop(_CUDA_RNG, None), _device(student)
        if cuda is not None and device.type == "cuda":
            torch.cuda.set_rng_state(cuda, device)
        self._restore_method(method or {}, tensors)
        names = {parameter: name for name, parameter in student.named_parameters()}
        state = optimiser.state_dict()
        state["state"] = {}
        parameters = [
            parameter for group in optimiser.param_groups for parameter in group["params"]
        ]
        for index, parameter in enumerate(parameters):
            prefix = names[parameter] + "/"
            moments = {
                k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)
            }
            if moments:
                state["state"][index] = moments
        optimiser.load_state_dict(state)

    def _restore_method(self, method: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
        saved = {k.removeprefix(_METHOD): v for k, v in saved.items() if k.startswith(_METHOD)}
        _require_same_shapes(method, saved, "the tensors belong to another method", self.path)
        for name, tensor in method.items():
            tensor.copy_(saved[name])


def require_finite(weights: Mapping[str, Tensor], file: Path) -> None:
    """Refuse weights that are not finite.

    Raises:
        RunError: If a tensor contains NaN or infinity; the error names it.
    """
    if names := not_finite(weights):
        raise RunError(
            f"{len(names)} of {len(weights)} tensors contain NaN or infinity, the first is {names[0]}",
            where=file,
            remedy="use an earlier checkpoint, or train again with a lower optimiser.lr",
        )


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], where: Path) -> None:
    """Load a state dict.

    Raises:
        RunError: If it belongs to another model; the error lists the first differences.
    """
    _require_same_shapes(model.state_dict(), weights, "the weights belong to another model", where)
    model.load_state_dict(dict(weights))


def _require_same_shapes(
    expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], problem: str, where: Path
) -> None:
    shapes, others = (
        {name: list(tensor.shape) for name, tensor in group.items()}
        for group in (expected, tensors)
    )
    wrong = list(differences(shapes, others))
    if wrong:
        raise RunError(
            f"{problem}: " + "; ".join(wrong[:5]),
            where=where,
            remedy="use the config that the run was trained with",
        )


def save_checkpoint(
    folder: Path,
    student: nn.Module,
    ema: nn.Module,
    optimiser: torch.optim.Optimizer,
    state: dict[str, Any],
    method: Mapping[str, Tensor] | None = None,
    interval: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write `folder`/step-XXXXXXXX atomically and return its path.

    Args:
        folder: folder of the checkpoints.
        student: the model that is trained.
        ema: its EMA model.
        optimiser: AdamW over the student.
        state: JSON with a `step`.
        method: tensors of the training method, by name.
        interval: sums of the logging interval, by name.

    Raises:
        WriteError: If a file cannot be written, for example because the disk is full.
    """
    path = folder / checkpoint_name(state["step"])
    temporary = folder / f"{path.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with writing(temporary):
            temporary.mkdir(parents=True)
        save_tensors(_contiguous(student.state_dict()), temporary / "student.safetensors")
        save_tensors(_contiguous(ema.state_dict()), temporary / "ema.safetensors")
        extra = {f"{_METHOD}{name}": tensor for name, tensor in (method or {}).items()}
        extra |= {f"{_INTERVAL}{name}": tensor for name, tensor in (interval or {}).items()}
        moments = _contiguous(_moments(student, optimiser) | extra)
        save_tensors(moments, temporary / "optimiser.safetensors")
        digests = {name: file_sha256(temporary / name) for name in FILES}
        write_sealed_json(temporary / STATE, {**state, "format": FORMAT.number, "digests": digests})
        shutil.rmtree(path, ignore_errors=True)
        with writing(path, temporary):
            temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)  # to free space on a full disk
        raise
    sync_folder(folder)
    return path


def _moments(student: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    names: dict[Tensor, str] = {parameter: name for name, parameter in student.named_parameters()}
    tensors = {
        f"{names[parameter]}/{key}": value
        for parameter, moments in optimiser.state.items()
        for key, value in moments.items()
    }
    tensors[_RNG] = torch.get_rng_state()
    if (device := _device(student)).type == "cuda":
        tensors[_CUDA_RNG] = torch.cuda.get_rng_state(device)
    return tensors


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # safetensors refuses tensors that share memory or are strided.
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def load_checkpoint(path: Path) -> Checkpoint:
    """Open a checkpoint folder and verify every file against its digest.

    Raises:
        RunError: If a file is missing or damaged.
    """
    state, digests = read_state(path)
    for name, digest in digests.items():
        file = path / Path(name).name
        if not file.is_file() or file_sha256(file) != digest:
            raise RunError("the file is missing or damaged", where=file)
    return Checkpoint(path, state, digests)


def newest_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """Return the newest intact checkpoint in `folder`, and a line for each newer damaged one."""
    warnings: list[str] = []
    checkpoint = first_whole(reversed(checkpoints_in(folder)), warnings.append)
    return checkpoint, warnings


def checkpoints_in(folder: Path) -> list[Path]:
    """Return the folders of checkpoints in `folder`, intact or not, oldest first."""
    return sorted(folder.glob("step-*[0-9]"))


def first_whole(paths: Iterable[Path], on_damaged: Callable[[str], None]) -> Checkpoint | None:
    """Return the first intact checkpoint; call `on_damaged` with the error of each one before it."""
    for path in paths:
        try:
            return load_checkpoint(path)
        except (RunError, SafetensorError) as error:
            on_damaged(str(error))
    return None
