"""A model's tensors out of a weights file, under the names that timm and open_clip use."""

import logging
import re
import sys
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from rsmtdf_core.errors import TeacherError
from rsmtdf_core.weights.files import Weights, open_weights, read_tensor
from rsmtdf_core.weights.finite import not_finite
from rsmtdf_core.weights.pickles import StoredTensor, Stub

StateDict = dict[str, Tensor]
T = TypeVar("T")

logger = logging.getLogger(__name__)

# Keys under which training scripts keep a model's tensors. Of several the first is read: the model that was
# trained before its average, but the teacher of a self-distillation, which is the one that its authors publish.
_WRAPPERS = (
    "model",
    "state_dict",
    "model_state_dict",
    "teacher",
    "student",
    "module",
    "model_ema",
    "state_dict_ema",
    "ema",
)
# What DataParallel and torch.compile put before every name.
_ADDED = ("module.", "_orig_mod.")
# What a model is called inside of a larger one.
_HOLDERS = (*_ADDED, "backbone.", "encoder.")
# BatchNorm counts batches for training only; some files leave that out.
_COUNTS = "num_batches_tracked"
_MOST_WRAPPERS = 4  # such as teacher, state_dict, module
_MOST_MODULES = 20_000  # the largest models of timm have a few thousand


def read_state(path: Path) -> StateDict:
    """The tensors of a weights file by name, in the dtypes that the file has, on the CPU.

    Reads safetensors, files of `torch.save` (whole models too) and TorchScript archives, without executing any
    code in them. Tensors may be below one of `_WRAPPERS`, in any depth; where several are there, a warning of
    this module's logger says which was read. A "module." or "_orig_mod." before the names is dropped.

    Raises:
        TeacherError: the file is none of these, damaged or without tensors.
    """
    with open_weights(path) as weights:
        stored = _require_tensors(weights, path)
        return {name: read_tensor(weights, tensor) for name, tensor in stored.items()}


def require_state(path: Path) -> None:
    """Refuse a file that `read_state` would refuse, without reading a tensor of an archive.

    Raises:
        TeacherError: as `read_state` raises it.
    """
    with open_weights(path) as weights:
        _require_tensors(weights, path)


def _require_tensors(weights: Weights, path: Path) -> dict[str, StoredTensor | Tensor]:
    if tensors := find_tensors(weights.structure, path):
        return tensors
    keys = weights.structure if isinstance(weights.structure, Mapping) else ()
    listed = ", ".join(repr(key) for key in list(keys)[:5] if isinstance(key, str))
    raise TeacherError(
        "not a readable weights file: it holds no tensors"
        + (f" under {', '.join(_WRAPPERS[:5])}; its keys are {listed}" if listed else ""),
        where=path,
        remedy="give a file that holds a model's state dict",
    )


def find_tensors(
    structure: object, path: Path, depth: int = _MOST_WRAPPERS
) -> dict[str, StoredTensor | Tensor]:
    """The tensors of a model in an open file's structure, not read yet; empty where there are none.

    Args:
        structure: as the file has it.
        path: of the file, for the message that names the model that was chosen.
        depth: how many of `_WRAPPERS` may still enclose the tensors.
    """
    if isinstance(structure, Stub):
        return without_prefixes(_module_tensors(structure), _ADDED)
    if not isinstance(structure, Mapping):
        return {}
    inner = {
        key: tensors
        for key in _WRAPPERS
        if depth and (tensors := find_tensors(structure.get(key), path, depth - 1))
    }
    if not inner:
        named = {
            name: tensor
            for name, tensor in structure.items()
            if isinstance(name, str) and isinstance(tensor, StoredTensor | Tensor)
        }
        return without_prefixes(named, _ADDED)
    chosen, *others = inner
    if others:
        _tell_choice(path, chosen, ", ".join(f"'{key}'" for key in others))
    return inner[chosen]


@cache
def _tell_choice(path: Path, chosen: str, left: str) -> None:
    """Say once a process which of several models is read."""
    logger.warning("%s: the model under '%s' is read, not %s", path, chosen, left)


def _module_tensors(root: Stub) -> dict[str, StoredTensor | Tensor]:
    """Tensors of a pickled module: TorchScript keeps them as attributes, nn.Module in three tables."""
    tensors: dict[str, StoredTensor | Tensor] = {}
    modules = [("", root)]
    for _ in range(_MOST_MODULES):
        if not modules:
            return tensors
        prefix, module = modules.pop()
        entries = dict(module.values)
        for table in ("_parameters", "_buffers", "_modules"):
            if isinstance(inner := entries.pop(table, None), Mapping):
                entries.update(inner)
        for name, value in entries.items():
            if not isinstance(name, str):
                continue
            if isinstance(value, StoredTensor):
                tensors[f"{prefix}{name}"] = value
            elif isinstance(value, Stub):
                modules.append((f"{prefix}{name}.", value))
    raise ValueError(f"its module has more than {_MOST_MODULES:,} parts")


def without_prefix(state: Mapping[str, T], prefix: str) -> dict[str, T]:
    """The tensors whose names begin with `prefix`, named without it."""
    return {name[len(prefix) :]: state[name] for name in state if name.startswith(prefix)}


def without_prefixes(
    state: Mapping[str, T], prefixes: Collection[str] = _HOLDERS, own: Collection[str] = ()
) -> dict[str, T]:
    """The tensors inside of `prefixes`, in whatever order these are nested, named without them.

    What is outside of a prefix, such as the head beside a backbone, is left out. A prefix with which names of
    `own` begin is kept.
    """
    wrapped = [prefix for prefix in prefixes if not any(name.startswith(prefix) for name in own)]
    inner = dict(state)
    while found := next(filter(None, (without_prefix(inner, one) for one in wrapped)), None):
        inner = found
    return inner


def timm_names(state: Mapping[str, Tensor]) -> StateDict:
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


def timm_state(model: nn.Module, state: Mapping[str, Tensor]) -> StateDict:
    """A state under the names of a timm model; a ViT's position embedding on the model's own grid.

    timm knows the names that a model's authors gave its tensors (DINOv3, Swin, ConvNeXt and others). A state that
    it cannot convert comes back unchanged, for `load_exactly` to name what does not fit.
    """
    from timm.models import VisionTransformer

    own = {name for name in model.state_dict() if not name.endswith(_COUNTS)}
    named = without_prefixes(state, own=own)
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    is_vit = isinstance(model, VisionTransformer)
    # Conversions expect the names of the originals; that of ViTs fits the position embedding, too.
    if convert is None or (own <= named.keys() and not is_vit):
        return named
    try:
        return dict(convert(timm_names(named) if is_vit else dict(named), model))
    # Names and shapes of another model lead conversions astray in every way.
    except Exception as misfit:  # noqa: BLE001
        logger.debug("timm cannot convert the names: %r", misfit)
        return named


def load_exactly(model: nn.Module, state: Mapping[str, Tensor], unused: tuple[str, ...]) -> None:
    """Copy `state` into `model`; names may be left over only where they begin with one of `unused`.

    Raises:
        TeacherError: a tensor is missing, left over, of another shape, or has numbers that are not finite.
    """
    expected: dict[str, Any] = {name: list(t.shape) for name, t in model.state_dict().items()}
    found = {name: list(t.shape) for name, t in state.items() if not name.startswith(unused)}
    faults = [
        f"{name}: expected {expected.get(name, 'nothing')}, found {found.get(name, 'nothing')}"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name) and not name.endswith(_COUNTS)
    ]
    if faults:
        more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise TeacherError(
            f"the weights do not fit the model: {'; '.join(faults[:3])}{more}",
            remedy="check that model and weights belong together",
        )
    chosen = {name: state[name] for name in found if name in expected}
    if names := not_finite(chosen):
        raise TeacherError(
            f"{len(names)} of {len(chosen)} tensors hold NaN or infinity, the first is {names[0]}",
            remedy="use weights from before the training diverged, or download the file again",
        )
    model.load_state_dict(chosen, strict=False)
