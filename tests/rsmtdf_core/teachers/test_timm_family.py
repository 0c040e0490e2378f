import pytest
import timm
import torch

from rsmtdf_core.errors import TeacherError
from rsmtdf_core.teachers import timm_family
from rsmtdf_core.teachers.settings import TeacherSettings


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
