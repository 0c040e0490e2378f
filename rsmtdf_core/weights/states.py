"""Reads a model's tensors from a weights file, under the names that timm and open_clip use."""

import logging
import re
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from rsmtdf_core.errors import TeacherError
from rsmtdf_core.weights.files import Weights, open_weights, read_tensor
from rsmtdf_core.weights.finite import not_finite
from rsmtdf_core.weights.pickles import StoredTensor, Stub
from rsmtdf_core.weights.transformers_names import meta_names

if TYPE_CHECKING:
    from rsmtdf_core.weights.timm_models import Created

StateDict = dict[str, Tensor]
T = TypeVar("T")

logger = logging.getLogger(__name__)

# Keys under which training scripts keep a model's tensors. If a file has several, the first in this order is read:
# the trained model before its average, and the teacher of a self-distillation, which is the one that authors publish.
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
# Prefixes that DataParallel and torch.compile add to every name.
_ADDED = ("module.", "_orig_mod.")
# Names of a model inside a larger one.
_HOLDERS = (*_ADDED, "backbone.", "encoder.")
# BatchNorm counts batches for training only, and some files omit the counter.
_COUNTS = "num_batches_tracked"
_MOST_WRAPPERS = 4  # such as teacher, state_dict, module
_MOST_MODULES = 20_000  # the largest models of timm have a few thousand


def read_state(path: Path) -> StateDict:
    """Read the tensors of a weights file to the CPU, in the file's dtypes and keyed by name.

    Reads safetensors, files of `torch.save` (whole models too) and TorchScript archives, without executing any code
    in them. The tensors may be nested below `_WRAPPERS`. If a file contains several models, this module's logger
    warns which one was read. The prefixes "module." and "_orig_mod." are removed from the names.

    Raises:
        TeacherError: If the file is of another format, damaged or without tensors.
    """
    with open_weights(path) as weights:
        stored = _require_tensors(weights, path)
        return {name: read_tensor(weights, tensor) for name, tensor in stored.items()}


def require_state(path: Path) -> None:
    """Check that `read_state` can read a file, without reading the tensors of an archive.

    Raises:
        TeacherError: As raised by `read_state`.
    """
    with open_weights(path) as weights:
        _require_tensors(weights, path)


def _require_tensors(weights: Weights, path: Path) -> dict[str, StoredTensor | Tensor]:
    if tensors := find_tensors(weights.structure, path):
        return tensors
    keys = weights.structure if isinstance(weights.structure, Mapping) else ()
    listed = ", ".join(repr(key) for key in list(keys)[:5] if isinstance(key, str))
    raise TeacherError(
        "not a readable weights file: it contains no tensors"
        + (f" under {', '.join(_WRAPPERS[:5])}; its keys are {listed}" if listed else ""),
        where=path,
        remedy="give a file that contains a model's state dict",
    )


def find_tensors(
    structure: object, path: Path, depth: int = _MOST_WRAPPERS
) -> dict[str, StoredTensor | Tensor]:
    """Find the tensors of a model in the structure of an open file, without reading them.

    Args:
        structure: the file's structure, or a part of it.
        path: the file, for the warning about several models.
        depth: number of `_WRAPPERS` that may still enclose the tensors.

    Returns:
        Tensors by name; empty if there are none.
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
        tensors = {
            name: tensor
            for name, tensor in structure.items()
            if isinstance(name, str) and isinstance(tensor, StoredTensor | Tensor)
        }
        return without_prefixes(tensors, _ADDED)
    chosen, *others = inner
    if others:
        _warn_of_choice(path, chosen, ", ".join(f"'{key}'" for key in others))
    return inner[chosen]


@cache
def _warn_of_choice(path: Path, chosen: str, others: str) -> None:
    """Warn once per process that a file contains several models."""
    logger.warning("%s: reading the model under '%s', not %s", path, chosen, others)


def _module_tensors(root: Stub) -> dict[str, StoredTensor | Tensor]:
    """Collect the tensors of a pickled module: attributes in TorchScript, three tables in nn.Module."""
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
    """Return the tensors whose names begin with `prefix`, with the prefix removed."""
    return {name[len(prefix) :]: state[name] for name in state if name.startswith(prefix)}


def without_prefixes(
    state: Mapping[str, T], prefixes: Collection[str] = _HOLDERS, expected: Collection[str] = ()
) -> dict[str, T]:
    """Return the tensors nested in `prefixes`, in any order, with the prefixes removed.

    Tensors outside a prefix, such as the head next to a backbone, are omitted. A prefix of the `expected` names is
    kept.
    """
    removable = [
        prefix for prefix in prefixes if not any(name.startswith(prefix) for name in expected)
    ]
    inner = dict(state)
    while nested := next(filter(None, (without_prefix(inner, name) for name in removable)), None):
        inner = nested
    return inner


def timm_names(state: Mapping[str, Tensor]) -> StateDict:
    """Rename a state of facebookresearch/dinov2 to the names of timm.

    The mask token, used in pretraining only, is dropped, and SwiGLU layers are renamed. In models with registers, the
    position embedding of the class token is added to that token, because timm does not keep it separately. A state
    with timm's names is returned unchanged.
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


def timm_state(created: "Created", state: Mapping[str, Tensor]) -> StateDict:
    """Convert a state to the names and sizes of a timm model.

    DINOv2 and DINOv3 in the names of Hugging Face Transformers first get Meta's names. timm knows the names in the
    original checkpoints of DINOv3, Swin, ConvNeXt and others, and each architecture's way to resize position embeddings
    and bias tables to the model's grid. If timm cannot convert the state, it is returned unchanged, and `load_exactly`
    reports the mismatches.
    """
    from timm.models import VisionTransformer

    net, convert, is_resized = created
    expected = {
        name: tensor.shape
        for name, tensor in net.state_dict().items()
        if not name.endswith(_COUNTS)
    }
    inner = without_prefixes(meta_names(state), expected=expected)
    is_vit = isinstance(net, VisionTransformer)
    # Conversions expect the original names. They also resize: the positions of every ViT, and all sizes of a model
    # for another size of images. Other files with sizes of their own belong to another model.
    fits = expected.keys() <= inner.keys()
    if is_resized:
        fits = fits and all(inner[name].shape == shape for name, shape in expected.items())
        # A resize in half precision would round the result.
        inner = {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in inner.items()
        }
    if convert is None or (fits and not is_vit):
        return inner
    surplus = {} if is_vit else _surplus_biases(inner, expected)
    named = timm_names(inner) if is_vit else inner
    named = {name: tensor for name, tensor in named.items() if name not in surplus}
    # `load_exactly` reports those that are left out but have an effect.
    unfit = {name: inner[name] for name, has_effect in surplus.items() if has_effect}
    try:
        return dict(convert(named, net)) | unfit
    # Names and shapes of another model make conversions fail with any exception.
    except Exception as misfit:  # noqa: BLE001
        logger.debug("timm cannot convert the names: %r", misfit)
        return inner


def _surplus_biases(state: StateDict, expected: Collection[str]) -> dict[str, bool]:
    """Return the biases of queries, keys and values that the model lacks, and whether they have an effect.

    Meta's files of DINOv3 have such biases for every model, most of them 0, and a mask that is 0 for the keys. timm
    leaves out all of them.
    """
    return {
        name: bool((bias * state.get(f"{name}_mask", torch.ones(()))).any())
        for name, bias in state.items()
        if name.endswith("attn.qkv.bias")
        and name not in expected
        and name.replace("qkv.bias", "q_bias") not in expected
    }


def load_exactly(model: nn.Module, state: Mapping[str, Tensor], unused: tuple[str, ...]) -> None:
    """Copy `state` into `model`.

    Raises:
        TeacherError: If a tensor is missing, unexpected, of another shape, or not finite.
    """
    expected: dict[str, Any] = {name: list(t.shape) for name, t in model.state_dict().items()}
    shapes = {name: list(t.shape) for name, t in state.items() if not name.startswith(unused)}
    faults = [
        f"{name}: expected {expected.get(name, 'nothing')}, found {shapes.get(name, 'nothing')}"
        for name in sorted(expected.keys() | shapes.keys())
        if expected.get(name) != shapes.get(name) and not name.endswith(_COUNTS)
    ]
    if faults:
        more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise TeacherError(
            f"the weights do not fit the model: {'; '.join(faults[:3])}{more}",
            remedy="use weights of this model",
        )
    used = {name: state[name] for name in shapes if name in expected}
    if names := not_finite(used):
        raise TeacherError(
            f"{len(names)} of {len(used)} tensors contain NaN or infinity, the first is {names[0]}",
            remedy="use weights from before the training diverged, or download the file again",
        )
    model.load_state_dict(used, strict=False)
