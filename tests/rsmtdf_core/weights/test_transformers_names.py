"""Weights in files of Hugging Face Transformers give the same tokens as the same weights in timm's names.

The names are those of `Dinov2Model`, `Dinov2WithRegistersModel` and `DINOv3ViTModel`.
"""

import re

import pytest
import torch
from safetensors.torch import save_file

from rsmtdf_core.errors import TeacherError
from rsmtdf_core.weights.states import load_exactly, read_state, timm_state
from rsmtdf_core.weights.timm_models import create
from rsmtdf_core.weights.transformers_names import meta_names

TINY = {"embed_dim": 32, "depth": 2, "num_heads": 2}
DINOV2 = ["vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2", "vit_giant_patch14_dinov2"]
DINOV3 = [
    "vit_small_patch16_dinov3",
    "vit_small_patch16_dinov3_qkvb",
    "vit_small_plus_patch16_dinov3",
    "vit_small_plus_patch16_dinov3_qkvb",
]


def tiny(architecture):
    """A small model of timm with random weights, also where a new model has constants."""
    size = {"img_size": 28} if architecture in DINOV2 else {}
    created = create(architecture, for_weights=True, **TINY, **size)
    torch.manual_seed(0)
    for parameter in created.net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return created._replace(net=created.net.eval())


def projections(name, tensor, names):
    return dict(zip((name.format(part) for part in names), tensor.chunk(3), strict=True))


def as_dinov2(state):
    """timm's state under the names of Dinov2Model or Dinov2WithRegistersModel."""
    state = dict(state)
    renamed = {"embeddings.mask_token": torch.zeros(1, 32)}
    positions = state.pop("pos_embed")
    if "reg_token" in state:
        renamed["embeddings.register_tokens"] = state.pop("reg_token")
        # timm adds the position of the class token to this token.
        positions = torch.cat([torch.full((1, 1, 32), 0.5), positions], dim=1)
        state["cls_token"] = state["cls_token"] - 0.5
    renamed["embeddings.position_embeddings"] = positions
    renamed["embeddings.cls_token"] = state.pop("cls_token")
    is_gated = (
        state["blocks.0.mlp.fc1.weight"].shape[0] != state["blocks.0.mlp.fc2.weight"].shape[1]
    )
    for kind in ("weight", "bias"):
        renamed[f"embeddings.patch_embeddings.projection.{kind}"] = state.pop(
            f"patch_embed.proj.{kind}"
        )
        renamed[f"layernorm.{kind}"] = state.pop(f"norm.{kind}")
        for block in range(2):
            ours, theirs = f"blocks.{block}", f"encoder.layer.{block}"
            qkv = state.pop(f"{ours}.attn.qkv.{kind}")
            name = f"{theirs}.attention.attention.{{}}.{kind}"
            renamed |= projections(name, qkv, ("query", "key", "value"))
            for old, new in (
                ("norm1", "norm1"),
                ("norm2", "norm2"),
                ("attn.proj", "attention.output.dense"),
                ("mlp.fc1", "mlp.weights_in" if is_gated else "mlp.fc1"),
                ("mlp.fc2", "mlp.weights_out" if is_gated else "mlp.fc2"),
            ):
                renamed[f"{theirs}.{new}.{kind}"] = state.pop(f"{ours}.{old}.{kind}")
    for block, number in ((0, 1), (0, 2), (1, 1), (1, 2)):
        scale = state.pop(f"blocks.{block}.ls{number}.gamma")
        renamed[f"encoder.layer.{block}.layer_scale{number}.lambda1"] = scale
    assert not state
    return renamed


def as_dinov3(state):
    """timm's state under the names of DINOv3ViTModel."""
    state = dict(state)
    renamed = {
        "embeddings.mask_token": torch.zeros(1, 1, 32),
        "embeddings.cls_token": state.pop("cls_token"),
        "embeddings.register_tokens": state.pop("reg_token"),
    }
    is_gated = "blocks.0.mlp.fc1_g.weight" in state
    plain = (("mlp.fc1", "mlp.up_proj"), ("mlp.fc2", "mlp.down_proj"))
    gated = (("mlp.fc1_g", "mlp.gate_proj"), ("mlp.fc1_x", "mlp.up_proj"), plain[1])
    for kind in ("weight", "bias"):
        renamed[f"embeddings.patch_embeddings.{kind}"] = state.pop(f"patch_embed.proj.{kind}")
        renamed[f"norm.{kind}"] = state.pop(f"norm.{kind}")
        for block in range(2):
            ours, theirs = f"blocks.{block}", f"layer.{block}"
            for old, new in (
                ("norm1", "norm1"),
                ("norm2", "norm2"),
                ("attn.proj", "attention.o_proj"),
                *(gated if is_gated else plain),
            ):
                renamed[f"{theirs}.{new}.{kind}"] = state.pop(f"{ours}.{old}.{kind}")
    for block in range(2):
        ours, theirs = f"blocks.{block}", f"layer.{block}"
        name = f"{theirs}.attention.{{}}_proj.weight"
        renamed |= projections(name, state.pop(f"{ours}.attn.qkv.weight"), "qkv")
        for part in "qv":  # the keys have no bias
            bias = state.pop(f"{ours}.attn.{part}_bias", torch.zeros(32))
            renamed[f"{theirs}.attention.{part}_proj.bias"] = bias
        for number in (1, 2):
            renamed[f"{theirs}.layer_scale{number}.lambda1"] = state.pop(f"{ours}.gamma_{number}")
    assert not {name for name in state if "rope" not in name}
    return renamed


def published(architecture, state):
    renamed = (as_dinov2 if architecture in DINOV2 else as_dinov3)(state)
    return {name: tensor.clone().contiguous() for name, tensor in renamed.items()}


@pytest.mark.parametrize("architecture", [*DINOV2, *DINOV3])
@pytest.mark.parametrize("prefix", ["", "dinov2.", "backbone.model."])
def test_a_file_of_transformers_gives_the_tokens_of_timms_weights(tmp_path, architecture, prefix):
    original = tiny(architecture)
    state = published(architecture, original.net.state_dict())
    state = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    head = {"classifier.weight": torch.ones(5, 32)} if prefix else {}
    save_file(state | head, tmp_path / "model.safetensors")
    loaded = tiny(architecture)
    torch.nn.init.zeros_(loaded.net.cls_token)
    load_exactly(loaded.net, timm_state(loaded, read_state(tmp_path / "model.safetensors")), ())
    side = 28 if architecture in DINOV2 else 32
    images = torch.rand(2, 3, side, side)
    with torch.inference_mode():
        expected, tokens = (each.net.forward_features(images) for each in (original, loaded))
    torch.testing.assert_close(tokens, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("architecture", [DINOV2[0], DINOV3[1]])
def test_a_tensor_that_a_file_lacks_is_named(architecture):
    created = tiny(architecture)
    state = published(architecture, created.net.state_dict())
    lacking = {
        name: tensor for name, tensor in state.items() if not re.search(r"layer\.1\.norm2", name)
    }
    with pytest.raises(
        TeacherError, match=r"blocks\.1\.norm2\.bias: expected \[32\], found nothing"
    ):
        load_exactly(created.net, timm_state(created, lacking), ())


@pytest.mark.parametrize("architecture", ["test_vit", DINOV2[0], DINOV3[0]])
def test_a_state_with_other_names_is_unchanged(architecture):
    size = {} if architecture == "test_vit" else TINY
    state = create(architecture, **size).net.state_dict()
    assert meta_names(state) == state
