"""Names of DINOv2 and DINOv3 in files of Hugging Face Transformers, and Meta's names of the same tensors."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

# Meta's files have other names for both generations, from which timm converts.
_COMMON = (
    (r"^embeddings\.(cls_token|mask_token)$", r"\1"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.(?:projection\.)?(weight|bias)$", r"patch_embed.proj.\1"),
    (r"^layernorm\.", "norm."),
    (r"^(?:encoder\.|model\.)?layer\.(\d+)\.", r"blocks.\1."),
    (r"\.attention\.(?:output\.dense|o_proj)\.", ".attn.proj."),
    (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
    (r"\.mlp\.weights_in\.", ".mlp.w12."),
    (r"\.mlp\.weights_out\.", ".mlp.w3."),
)
_GATED = (
    (".mlp.gate_proj.", ".mlp.w1."),
    (".mlp.up_proj.", ".mlp.w2."),
    (".mlp.down_proj.", ".mlp.w3."),
)
_PLAIN = ((".mlp.up_proj.", ".mlp.fc1."), (".mlp.down_proj.", ".mlp.fc2."))
_PROJECTION = re.compile(
    r"(?P<block>.*?)\.attention\.(?:attention\.)?(?P<part>q|k|v)(?:uery|ey|alue|_proj)\.(?P<kind>weight|bias)$"
)
_PARTS = "qkv"


def meta_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state of Transformers' DINOv2 or DINOv3 to Meta's names; any other state is returned unchanged.

    Queries, keys and values become one tensor; a bias that a file leaves out is 0. Tensors next to the model, such as a
    classifier's, are omitted.
    """
    prefix = _prefix(state)
    if prefix is None:
        return dict(state)
    inner = {
        name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)
    }
    registers = "register_tokens" if "embeddings.position_embeddings" in inner else "storage_tokens"
    renames = (
        *_COMMON,
        (r"^embeddings\.register_tokens$", registers),
        *(
            (re.escape(old), new)
            for old, new in (_GATED if any(".gate_proj." in name for name in inner) else _PLAIN)
        ),
    )
    renamed: dict[str, Tensor] = {}
    projections: dict[tuple[str, str], dict[str, Tensor]] = {}
    for name, tensor in inner.items():
        for pattern, replacement in renames:
            name = re.sub(pattern, replacement, name)  # noqa: PLW2901
        if match := _PROJECTION.match(name):
            projections.setdefault((match["block"], match["kind"]), {})[match["part"]] = tensor
        elif tensor.numel():  # a model without registers has an empty tensor of them
            renamed[name] = tensor
    for (block, kind), parts in projections.items():
        absent = torch.zeros_like(next(iter(parts.values())))
        renamed[f"{block}.attn.qkv.{kind}"] = torch.cat(
            [parts.get(part, absent) for part in _PARTS]
        )
    return renamed


def _prefix(state: Mapping[str, Tensor]) -> str | None:
    """Return the prefix of the model's names in a state of Transformers; None for another state."""
    if not any(name.endswith(".layer_scale1.lambda1") for name in state):
        return None
    last = "embeddings.cls_token"
    return next((name.removesuffix(last) for name in state if name.endswith(last)), None)
