"""Tensors are found wherever training scripts put them, and fit a model exactly or are refused."""

import argparse
import itertools
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from rsmtdf_core.errors import TeacherError
from rsmtdf_core.weights.states import (
    load_exactly,
    read_state,
    require_state,
    timm_names,
    timm_state,
    without_prefix,
    without_prefixes,
)
from rsmtdf_core.weights.timm_models import create

STATE = {"cls_token": torch.ones(1, 1, 4), "blocks.0.attn.proj.weight": torch.eye(4)}


def prefixed(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    "wrappers",
    [
        *((key,) for key in ("model", "state_dict", "model_state_dict", "teacher", "student")),
        ("model_ema",),
        ("teacher", "state_dict"),
        ("state_dict", "teacher"),
        ("model", "state_dict", "module"),
    ],
)
def test_tensors_are_found_below_the_keys_of_training_scripts(tmp_path: Path, wrappers):
    content: object = prefixed(STATE, "module.")
    for key in reversed(wrappers):
        content = {key: content, "epoch": 3, "optimizer": {"state": {0: torch.ones(3)}}}
    torch.save(content, tmp_path / "w.pth")
    assert read_state(tmp_path / "w.pth").keys() == STATE.keys()


def test_objects_of_other_classes_next_to_the_tensors_do_no_harm(tmp_path: Path):
    arguments = argparse.Namespace(lr=0.1, folder=tmp_path)
    torch.save({"state_dict": STATE, "args": arguments}, tmp_path / "w.pth")
    assert read_state(tmp_path / "w.pth").keys() == STATE.keys()


@pytest.mark.parametrize(
    ("keys", "chosen", "left"),
    [
        (("model", "model_ema"), "model", "model_ema"),
        (("state_dict", "state_dict_ema"), "state_dict", "state_dict_ema"),
        (("student", "teacher"), "teacher", "student"),
    ],
)
def test_of_two_models_the_one_that_is_read_is_named(tmp_path: Path, caplog, keys, chosen, left):
    torch.save({key: {key: torch.ones(1)} for key in keys}, tmp_path / "w.pth")
    assert list(read_state(tmp_path / "w.pth")) == [chosen]
    assert f"reading the model under '{chosen}', not '{left}'" in caplog.text
    assert "w.pth" in caplog.text


def test_it_is_named_once(tmp_path: Path, caplog):
    torch.save({"model": STATE, "model_ema": STATE}, tmp_path / "w.pth")
    for _ in range(2):
        require_state(tmp_path / "w.pth")
        read_state(tmp_path / "w.pth")
    assert len(caplog.records) == 1


def test_a_single_model_is_read_without_a_word(tmp_path: Path, caplog):
    torch.save({"model": STATE, "model_ema": None}, tmp_path / "w.pth")
    read_state(tmp_path / "w.pth")
    assert not caplog.text


def test_a_file_without_tensors_is_refused_with_its_keys(tmp_path: Path):
    torch.save({"weights": {"a": torch.ones(1)}, "epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(
        TeacherError, match=r"no tensors under model, .* its keys are 'weights', 'epoch'"
    ):
        read_state(tmp_path / "w.pth")


def test_a_file_that_contains_itself_is_refused(tmp_path: Path):
    content: dict[str, object] = {}
    for key in ("model", "state_dict", "teacher", "student", "module"):
        content[key] = content
    torch.save(content, tmp_path / "w.pth")
    for read in (read_state, require_state):
        with pytest.raises(TeacherError, match="contains no tensors"):
            read(tmp_path / "w.pth")


@pytest.mark.parametrize(
    "prefixes", list(itertools.permutations(["backbone.", "module.", "_orig_mod.", "encoder."]))
)
def test_prefixes_are_dropped_in_any_order(prefixes):
    state = prefixed(STATE, "".join(prefixes)) | {"decode_head.weight": torch.ones(1)}
    assert without_prefixes(state).keys() == STATE.keys()


def test_a_prefix_that_the_model_itself_has_is_kept():
    state = {"encoder.norm.weight": torch.ones(1), "head.weight": torch.ones(1)}
    assert without_prefixes(prefixed(state, "module."), expected=state) == state


@pytest.mark.parametrize("architecture", ["test_vit", "test_efficientnet", "test_convnext"])
def test_a_backbone_of_a_larger_model_fits_timms(architecture: str):
    created = create(architecture, for_weights=True)
    state = created.net.state_dict()
    renamed = timm_state(
        created, prefixed(state, "module.backbone.") | {"head.bias": torch.ones(9)}
    )
    assert renamed.keys() == state.keys()
    assert all(torch.equal(renamed[name], tensor) for name, tensor in state.items())


def test_dinov3s_names_fit_timms_model():
    created = create("vit_small_patch16_dinov3.lvd1689m", for_weights=True)
    model = created.net
    state = model.state_dict()
    names = {"reg_token": "storage_tokens", "gamma_1": "ls1.gamma", "gamma_2": "ls2.gamma"}
    published = {"mask_token": torch.zeros(1, 384), "rope_embed.periods": torch.ones(16)}
    for name, tensor in state.items():
        ours = next((part for part in names if part in name), "")
        published[name.replace(ours, names.get(ours, ""))] = torch.randn(tensor.shape)
    for block in range(12):
        published[f"blocks.{block}.attn.qkv.bias"] = torch.zeros(1152)
        published[f"blocks.{block}.attn.qkv.bias_mask"] = torch.ones(1152)
    load_exactly(model, timm_state(created, published), ())
    loaded = model.state_dict()
    assert torch.equal(loaded["reg_token"], published["storage_tokens"])
    assert torch.equal(loaded["blocks.3.gamma_2"], published["blocks.3.ls2.gamma"])
    assert torch.equal(loaded["blocks.3.attn.qkv.weight"], published["blocks.3.attn.qkv.weight"])


@pytest.mark.parametrize("architecture", ["test_vit", "test_convnext", "vit_small_patch16_dinov3"])
def test_weights_of_another_architecture_are_named(architecture: str):
    with torch.device("meta"):
        created = create(architecture, for_weights=True)
    other = timm.create_model("test_resnet", num_classes=0).state_dict()
    other |= {"pos_embed": torch.ones(3), "patch_embed.proj.weight": torch.ones(1)}
    with pytest.raises(TeacherError, match=r"do not fit the model: .*expected .*found"):
        load_exactly(created.net, timm_state(created, other), ())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(value: float):
    state = {"weight": torch.ones(2, 3, dtype=torch.float16), "bias": torch.zeros(2)}
    state["weight"][1, 2] = value
    model = nn.Linear(3, 2)
    before = model.weight.detach().clone()
    with pytest.raises(
        TeacherError, match="1 of 2 tensors contain NaN or infinity, the first is weight"
    ):
        load_exactly(model, state, ())
    assert torch.equal(model.weight, before)


def test_a_prefix_is_cut_off_and_the_rest_dropped():
    state = {"visual.proj": torch.ones(1), "text.proj": torch.zeros(1)}
    assert list(without_prefix(state, "visual.")) == ["proj"]


def test_timm_names_drop_the_mask_token_and_rename_swiglu():
    state = {
        "mask_token": torch.zeros(1, 4),
        "blocks.3.mlp.w12.weight": torch.ones(8, 4),
        "blocks.3.mlp.w3.bias": torch.ones(4),
        "norm.weight": torch.ones(4),
    }
    assert list(timm_names(state)) == [
        "blocks.3.mlp.fc1.weight",
        "blocks.3.mlp.fc2.bias",
        "norm.weight",
    ]


def test_timm_names_agree_with_timms_conversion_of_register_models():
    import timm
    from timm.models.vision_transformer import checkpoint_filter_fn

    generator = torch.Generator().manual_seed(0)
    official = {
        "cls_token": torch.randn(1, 1, 384, generator=generator),
        "mask_token": torch.zeros(1, 384),
        "register_tokens": torch.randn(1, 4, 384, generator=generator),
        "pos_embed": torch.randn(1, 1 + 37 * 37, 384, generator=generator),
    }
    with torch.device("meta"):
        model = timm.create_model("vit_small_patch14_reg4_dinov2.lvd142m", num_classes=0)
    expected = checkpoint_filter_fn(dict(official), model)
    renamed = timm_names(official)
    assert renamed.keys() == expected.keys()
    assert all(torch.equal(renamed[name], expected[name]) for name in renamed)


def test_weights_that_fit_are_copied_and_a_head_may_be_left_over():
    model = nn.Linear(3, 2)
    load_exactly(
        model,
        {
            "weight": torch.ones(2, 3, dtype=torch.float16),
            "bias": torch.zeros(2),
            "head.w": torch.ones(9),
        },
        ("head.",),
    )
    torch.testing.assert_close(model(torch.ones(1, 3)), torch.full((1, 2), 3.0))


@pytest.mark.parametrize(
    ("state", "fault"),
    [
        ({"weight": torch.ones(2, 3)}, r"bias: expected \[2\], found nothing"),
        ({"weight": torch.ones(3, 3), "bias": torch.ones(2)}, r"expected \[2, 3\], found \[3, 3\]"),
        (
            {"weight": torch.ones(2, 3), "bias": torch.ones(2), "extra": torch.ones(1)},
            r"extra: expected nothing, found \[1\]",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(state: dict[str, torch.Tensor], fault: str):
    with pytest.raises(TeacherError, match=fault):
        load_exactly(nn.Linear(3, 2), state, ())
