from functools import partial

import pytest
import timm
import torch

from rsmtdf_core.errors import TeacherError
from rsmtdf_core.teachers import timm_family
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.teachers.teacher import declared_identity
from tests import tiny_models


def settings(model: str = "test_vit.r160_in1k", **changes: object) -> TeacherSettings:
    return TeacherSettings(**{"name": "small", "family": "timm", "model": model, **changes})


@pytest.fixture(scope="module")
def vit_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return timm.create_model("test_vit", num_classes=0).state_dict()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(1))


def built(state: dict[str, torch.Tensor], **changes: object) -> torch.nn.Module:
    return timm_family.build(settings(**changes), 160, state).eval()


def test_a_transformers_tokens_are_its_last_block_normalised_without_class_token(vit_state, images):
    model = timm.create_model("test_vit", num_classes=0).eval()
    model.load_state_dict(vit_state)
    with torch.inference_mode():
        actual = built(vit_state)(images)
        expected = model.forward_features(images)[:, 1:].reshape(2, 10, 10, -1)
    torch.testing.assert_close(actual, expected)
    assert actual.is_contiguous()


def test_the_final_norm_is_applied_only_on_demand(vit_state, images):
    with torch.inference_mode():
        raw, normed = built(vit_state, final_norm=False), built(vit_state)
        torch.testing.assert_close(normed.model.norm(raw(images)), normed(images))


def test_negative_blocks_count_from_the_last(vit_state, images):
    depth = len(built(vit_state).model.blocks)
    with torch.inference_mode():
        last, first, also_first = (
            built(vit_state, block=block)(images) for block in (-1, 0, -depth)
        )
    assert torch.equal(first, also_first)
    assert not torch.equal(first, last)


def test_a_cnn_gives_the_level_named_by_block():
    module = timm_family.build(settings("test_efficientnet.r160_in1k", block=2), 160, None).eval()
    images = torch.zeros(1, 3, 160, 160)
    with torch.inference_mode():
        expected = module.model.forward_intermediates(images, intermediates_only=True)[2]
        assert torch.equal(module(images), expected.permute(0, 2, 3, 1))


def test_a_classifier_in_the_file_is_left_out():
    torch.manual_seed(0)
    state = timm.create_model("test_efficientnet.r160_in1k").state_dict()
    assert any(name.startswith("classifier") for name in state)
    module = timm_family.build(settings("test_efficientnet.r160_in1k"), 160, state)
    assert torch.equal(module.model.conv_stem.weight, state["conv_stem.weight"])


@pytest.mark.parametrize("block", [-9, 99])
def test_a_block_that_does_not_exist_is_refused(block: int):
    with pytest.raises(TeacherError, match=f"no block {block}"):
        timm_family.build(settings(block=block), 160, None)


@pytest.mark.parametrize(
    "model", ["vit_base_patch14_dinov.lvd142m", "vit_base_patch14_dinov2.lvd14m"]
)
def test_a_misspelt_model_is_answered_with_near_names(model: str):
    with pytest.raises(TeacherError, match=r"did you mean .*vit_base_patch14_dinov2\.lvd142m"):
        timm_family.build(settings(model), 518, None)


def test_a_model_without_hub_weights_is_refused():
    with pytest.raises(TeacherError, match="no weights"):
        timm_family.hub_file("vit_base_patch16_gap_224")


def test_a_side_that_patches_do_not_fill_is_refused_with_sides_that_they_do():
    with pytest.raises(TeacherError, match="multiple of 16 px, found 150") as caught:
        timm_family.build(settings(), 150, None)
    assert "144 or 160" in (caught.value.remedy or "")


def test_only_plain_dinov2_takes_the_official_positions():
    with torch.device("meta"):
        plain = timm_family.build(settings("vit_small_patch14_dinov2.lvd142m"), 224, None)
        registers = timm_family.build(settings("vit_small_patch14_reg4_dinov2.lvd142m"), 224, None)
    assert plain.model.pos_embed.shape == (1, 1 + 256, 384)
    assert registers.model.pos_embed.shape == (1, 256, 384)


def library_tokens(net: torch.nn.Module, images: torch.Tensor, *, norm: bool) -> torch.Tensor:
    with torch.inference_mode():
        maps = net.eval().forward_intermediates(images, norm=norm, intermediates_only=True)
    return maps[-1].permute(0, 2, 3, 1)


def tokens(
    model: str, side: int, state: dict[str, torch.Tensor], **changes: object
) -> torch.Tensor:
    module = timm_family.build(settings(model, **changes), side, state).eval()
    with torch.inference_mode():
        return module(images_of(side))


def images_of(side: int) -> torch.Tensor:
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(side))


def scattered(net: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A state of large weights, so that positions and biases show in the tokens."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(tensor.shape, generator=generator) / max(tensor.shape[-1:]) ** 0.5
        for name, tensor in net.state_dict().items()
    }


@pytest.mark.parametrize("side", [32, 64, 96, 128])
def test_windows_stay_as_they_were_trained_at_every_size(side):
    net = timm.create_model(tiny_models.SWIN, num_classes=0, dynamic_img_size=True)
    net.load_state_dict(scattered(net))
    found = tokens(tiny_models.SWIN, side, net.state_dict())
    torch.testing.assert_close(found, library_tokens(net, images_of(side), norm=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("side", [64, 128])
def test_positions_of_radio_are_resized_as_timm_loads_them(side, dtype):
    state = scattered(timm.create_model(tiny_models.RADIO, num_classes=0))
    state = {name: tensor.to(dtype) for name, tensor in state.items()}
    whole = {name: tensor.float() for name, tensor in state.items()}
    net = timm.create_model(
        tiny_models.RADIO,
        pretrained=True,
        pretrained_cfg_overlay={"state_dict": whole},
        num_classes=0,
        img_size=side,
    )
    found = tokens(tiny_models.RADIO, side, state)
    torch.testing.assert_close(found, library_tokens(net, images_of(side), norm=True))


def test_a_model_for_one_size_is_created_for_another():
    net = timm.create_model("efficientformerv2_s0", num_classes=0, img_size=96)
    state = net.state_dict()
    found = tokens("efficientformerv2_s0", 96, state)
    torch.testing.assert_close(found, library_tokens(net, images_of(96), norm=False))


def with_metas_names(state: dict[str, torch.Tensor], bias: float) -> dict[str, torch.Tensor]:
    """A state of a DINOv3 model as Meta publishes it."""
    named = {"mask_token": torch.zeros(1, 32), "rope_embed.periods": torch.ones(4)}
    for name, tensor in state.items():
        renamed = name.replace("reg_token", "storage_tokens")
        for number in (1, 2):
            renamed = renamed.replace(f"gamma_{number}", f"ls{number}.gamma")
        named[renamed] = tensor
    for block in range(2):
        query, key, value = (torch.full((32,), number) for number in (bias, 9.0, 0.0))
        mask = torch.tensor([1.0, 0.0, 1.0]).repeat_interleave(32)
        named[f"blocks.{block}.attn.qkv.bias"] = torch.cat([query, key, value])
        named[f"blocks.{block}.attn.qkv.bias_mask"] = mask
    return named


def test_metas_files_of_dinov3_are_read(capsys):
    net = timm.create_model(tiny_models.DINOV3, num_classes=0)
    net.load_state_dict(scattered(net))
    found = tokens(tiny_models.DINOV3, 64, with_metas_names(net.state_dict(), bias=0.0))
    torch.testing.assert_close(found, library_tokens(net, images_of(64), norm=True))
    assert not capsys.readouterr().out


def test_biases_that_a_model_lacks_are_not_dropped_in_silence():
    net = timm.create_model(tiny_models.DINOV3, num_classes=0)
    with pytest.raises(TeacherError, match=r"attn\.qkv\.bias: expected nothing"):
        tokens(tiny_models.DINOV3, 64, with_metas_names(net.state_dict(), bias=0.1))


def test_only_tokens_that_changed_have_another_identity():
    adaptation = partial(timm_family.adaptation, crop=128)
    trained = "weights.pth"
    assert adaptation(settings(tiny_models.SWIN)) == {"windows": "as trained"}
    assert adaptation(settings(tiny_models.RADIO, weights=trained)) == {
        "positions": "as timm loads them"
    }
    for same in (
        settings(tiny_models.SWIN, input_size=64),
        settings(tiny_models.RADIO, input_size=64, weights=trained),
        settings(tiny_models.RADIO, weights="random"),
        settings(tiny_models.DINOV3),
        settings("vit_small_patch14_dinov2.lvd142m", input_size=224),
        settings("resnet18", input_size=96),
        settings("efficientformerv2_s0"),
        settings("no_such_model"),
    ):
        assert adaptation(same) == {}
    identity = declared_identity(settings(tiny_models.SWIN, weights="random"), 128)
    assert identity["preprocessing"]["windows"] == "as trained"
