"""Checkpoints: safetensors and JSON, whole or absent, the newest whole one wins.

Which of them stay is decided in `retention`.

checkpoints/step-00000120/
  student.safetensors     parameters and buffers
  ema.safetensors         the same of the EMA model
  optimiser.safetensors   AdamW's moments by parameter name, and the generators' states
  state.json              step, epoch, the loss scaler, what it was trained on, the file digests: written last
"""

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
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


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint on disk, checked against its digests.

    Attributes:
        path: its folder.
        state: what state.json holds beside the digests.
        digests: sha256 of each of its other files, by name.
    """

    path: Path
    state: dict[str, Any]
    digests: dict[str, str]

    @property
    def fingerprint(self) -> str:
        """Of everything in it, and so of what it was trained on."""
        return checkpoint_fingerprint(self.state, self.digests)

    def weights(self, which: str) -> dict[str, Tensor]:
        """The tensors of `student` or `ema`, on the CPU.

        Raises:
            RunError: where one holds NaN or infinity.
        """
        file = self.path / f"{which}.safetensors"
        tensors: dict[str, Tensor] = load_file(file)
        require_finite(tensors, file)
        return tensors

    def restore(self, student: nn.Module, ema: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Load models, moments and generators in place.

        The state of the GPU's generator is left alone where either side trains without a GPU.

        Raises:
            RunError: where the weights are those of another model.
        """
        load_weights(student, self.weights("student"), self.path)
        load_weights(ema, self.weights("ema"), self.path)
        tensors: dict[str, Tensor] = load_file(self.path / "optimiser.safetensors")
        torch.set_rng_state(tensors.pop(_RNG))
        cuda, device = tensors.pop(_CUDA_RNG, None), _device(student)
        if cuda is not None and device.type == "cuda":
            torch.cuda.set_rng_state(cuda, device)
        names = {parameter: name for name, parameter in student.named_parameters()}
        state = optimiser.state_dict()
        state["state"] = {}
        parameters = [one for group in optimiser.param_groups for one in group["params"]]
        for index, parameter in enumerate(parameters):
            prefix = names[parameter] + "/"
            moments = {
                k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)
            }
            if moments:
                state["state"][index] = moments
        optimiser.load_state_dict(state)


def require_finite(weights: Mapping[str, Tensor], file: Path) -> None:
    """Refuse weights that compute nothing.

    Raises:
        RunError: where a tensor holds NaN or infinity, with its name.
    """
    if names := not_finite(weights):
        raise RunError(
            f"{len(names)} of {len(weights)} tensors hold NaN or infinity, the first is {names[0]}",
            where=file,
            remedy="use an earlier checkpoint, or train again with a lower optimiser.lr",
        )


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], where: Path) -> None:
    """Load a state dict; RunError with the first differing names where it is of another model."""
    own = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    given = {name: list(tensor.shape) for name, tensor in weights.items()}
    wrong = list(differences(own, given))
    if wrong:
        raise RunError(
            "the weights are of another model: " + "; ".join(wrong[:5]),
            where=where,
            remedy="use the config that the run was trained with",
        )
    model.load_state_dict(dict(weights))


def save_checkpoint(
    folder: Path,
    student: nn.Module,
    ema: nn.Module,
    optimiser: torch.optim.Optimizer,
    state: dict[str, Any],
) -> Path:
    """Write `folder`/step-XXXXXXXX, atomically; `state` is JSON and needs `step`.

    Raises:
        WriteError: a file cannot be written, say as the disk is full.
    """
    place = folder / checkpoint_name(state["step"])
    temporary = folder / f"{place.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with writing(temporary):
            temporary.mkdir(parents=True)
        save_tensors(_contiguous(student.state_dict()), temporary / "student.safetensors")
        save_tensors(_contiguous(ema.state_dict()), temporary / "ema.safetensors")
        moments = _contiguous(_moments(student, optimiser))
        save_tensors(moments, temporary / "optimiser.safetensors")
        digests = {name: file_sha256(temporary / name) for name in FILES}
        write_sealed_json(temporary / STATE, {**state, "format": FORMAT.number, "digests": digests})
        shutil.rmtree(place, ignore_errors=True)
        with writing(place, temporary):
            temporary.rename(place)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)  # a full disk gets its room back
        raise
    sync_folder(folder)
    return place


def _moments(student: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    names: dict[Tensor, str] = {one: name for name, one in student.named_parameters()}
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
    """Open one checkpoint folder and check every file against its digest.

    Raises:
        RunError: where a file is missing or is not what was written.
    """
    state, digests = read_state(path)
    for name, digest in digests.items():
        file = path / Path(name).name
        if not file.is_file() or file_sha256(file) != digest:
            raise RunError("the file is missing or damaged", where=file)
    return Checkpoint(path, state, digests)


def newest_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest whole checkpoint in `folder`, and a line for each newer one that is damaged."""
    warnings: list[str] = []
    found = first_whole(reversed(checkpoints_in(folder)), warnings.append)
    return found, warnings


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, whole or not, the oldest first."""
    return sorted(folder.glob("step-*[0-9]"))


def first_whole(paths: Iterable[Path], on_damaged: Callable[[str], None]) -> Checkpoint | None:
    """The first of these checkpoints that is whole; `on_damaged` is told of those before it."""
    for path in paths:
        try:
            return load_checkpoint(path)
        except (RunError, SafetensorError) as error:
            on_damaged(str(error))
    return None
