"""Weights files: where they are, and what they hold under the names that our models use.

People have these weights in several formats: safetensors, checkpoints of `torch.save`, and the
TorchScript archives that OpenAI published. Nothing here unpickles code, and only `fetch_weights`
may use the network.
"""

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rsmtdf_core.errors import TeacherError
from rsmtdf_core.fingerprints import file_sha256
from rsmtdf_core.teachers.registry import family_module
from rsmtdf_core.teachers.settings import TeacherSettings

State = dict[str, Tensor]

# What the three libraries raise for damaged and foreign files; there is nothing narrower.
_DAMAGE = (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError)
_WRAPPERS = ("model", "state_dict")  # keys under which training scripts keep a model's tensors


def locate_weights(settings: TeacherSettings) -> Path | None:
    """The teacher's weights file on this machine; None if it is not here or weights are random."""
    if settings.weights == "random":
        return None
    if settings.weights != "hub":
        path = Path(settings.weights).expanduser()
        return path if path.is_file() else None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(*family_module(settings.family).hub_file(settings.model))
    return Path(found) if isinstance(found, str) else None


def fetch_weights(settings: TeacherSettings) -> tuple[Path, str]:
    """The teacher's weights file and its sha256, downloaded from the hub if need be.

    Raises:
        TeacherError: the file cannot be had, or is not the one that `weights_sha256` names.
    """
    assert settings.weights != "random", "random weights have no file"
    path = locate_weights(settings) or _download(settings)
    found = file_sha256(path)
    if settings.weights_sha256 not in (None, found):
        raise TeacherError(
            f"the weights of teacher {settings.name!r} are another file: "
            f"expected sha256 {settings.weights_sha256}, found {found}",
            where=path,
            remedy="give the file that weights_sha256 names, or correct weights_sha256",
        )
    return path, found


def _download(settings: TeacherSettings) -> Path:
    if settings.weights != "hub":
        raise TeacherError(
            f"the weights file of teacher {settings.name!r} does not exist",
            where=settings.weights,
            remedy=f"correct weights of teacher {settings.name!r}: a path, hub or random",
        )
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    repository, name = family_module(settings.family).hub_file(settings.model)
    try:
        return Path(hf_hub_download(repository, name))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as failure:
        raise TeacherError(
            f"the weights of teacher {settings.name!r} are neither in the hub cache nor to be "
            f"downloaded: {_first_line(failure)}",
            where=f"huggingface.co/{repository}/{name}",
            remedy=f"run `hf download {repository} {name}` where there is a network and share the "
            f"cache (HF_HOME), or set weights of teacher {settings.name!r} to the path of a file, "
            "or to random to try things out",
        ) from failure


def read_state(path: Path) -> State:
    """The tensors of a weights file by name, in the dtypes that the file has, on the CPU.

    Reads safetensors, checkpoints of `torch.save` (also those that keep the tensors under "model"
    or "state_dict") and TorchScript archives. A "module." before the names is dropped.

    Raises:
        TeacherError: the file is none of these, or damaged.
    """
    try:
        state = _unwrap(_read(path))
    except _DAMAGE as damage:
        raise _unreadable(path, _first_line(damage)) from damage
    if not state:
        raise _unreadable(path, "it holds no tensors")
    return state


def _read(path: Path) -> object:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as damage:
            raise ValueError(str(damage)) from damage
    if _is_torchscript(path):
        with warnings.catch_warnings():
            # torch means to drop TorchScript, but OpenAI's files are in it.
            warnings.simplefilter("ignore")
            return torch.jit.load(path, map_location="cpu").state_dict()
    return torch.load(path, map_location="cpu", weights_only=True)


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _unwrap(value: object) -> State:
    if not isinstance(value, Mapping):
        return {}
    for key in _WRAPPERS:
        if isinstance(value.get(key), Mapping):
            return _unwrap(value[key])
    state = {str(name): tensor for name, tensor in value.items() if isinstance(tensor, Tensor)}
    return without_prefix(state, "module.") or state


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _unreadable(path: Path, reason: str) -> TeacherError:
    return TeacherError(
        f"not a readable weights file: {reason}",
        where=path,
        remedy="give a .safetensors file, a checkpoint of torch.save that holds tensors only, or "
        "OpenAI's original archive; download it again if it may be cut short",
    )


def without_prefix(state: Mapping[str, Tensor], prefix: str) -> State:
    """The tensors whose names begin with `prefix`, named without it."""
    return {name[len(prefix) :]: state[name] for name in state if name.startswith(prefix)}


def timm_names(state: Mapping[str, Tensor]) -> State:
    """A DINOv2 state with the names of facebookresearch/dinov2 under those of timm.

    The mask token, used in pretraining only, is dropped; SwiGLU layers are renamed; the register
    models' class token takes its own position embedding, which timm does not keep apart. A state
    that has timm's names already comes back as it is.
    """
    renamed = {
        re.sub(r"\.mlp\.w3\.", ".mlp.fc2.", re.sub(r"\.mlp\.w12\.", ".mlp.fc1.", name)): tensor
        for name, tensor in state.items()
        if name != "mask_token"
    }
    if "register_tokens" in renamed:
        positions = renamed["pos_embed"]
        renamed["reg_token"] = renamed.pop("register_tokens")
        renamed["cls_token"] = renamed["cls_token"] + positions[:, :1]
        renamed["pos_embed"] = positions[:, 1:]
    return renamed


def load_exactly(model: nn.Module, state: Mapping[str, Tensor], unused: tuple[str, ...]) -> None:
    """Copy `state` into `model`; names may be left over only where they begin with one of `unused`.

    Raises:
        TeacherError: a tensor is missing, left over or of another shape.
    """
    expected: dict[str, Any] = {name: list(t.shape) for name, t in model.state_dict().items()}
    found = {name: list(t.shape) for name, t in state.items() if not name.startswith(unused)}
    faults = [
        f"{name}: expected {expected.get(name, 'nothing')}, found {found.get(name, 'nothing')}"
        for name in sorted(expected.keys() | found.keys())
        # A count of batches is kept by BatchNorm for training only; some files leave it out.
        if expected.get(name) != found.get(name) and not name.endswith("num_batches_tracked")
    ]
    if faults:
        more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise TeacherError(
            f"the weights do not fit the model: {'; '.join(faults[:3])}{more}",
            remedy="check that model and weights belong together",
        )
    model.load_state_dict({name: state[name] for name in found if name in expected}, strict=False)
