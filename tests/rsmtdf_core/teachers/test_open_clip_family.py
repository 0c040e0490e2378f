import open_clip
import pytest
import torch
from open_clip.timm_model import TimmModel

from rsmtdf_core.errors import TeacherError
from rsmtdf_core.teachers import open_clip_family
from rsmtdf_core.teachers.settings import TeacherSettings

SMALL = "ViT-S-32-alt"


def settings(model: str = SMALL, **changes: object) -> TeacherSettings:
    return TeacherSettings(
        **{"name": "clip", "family": "open_clip", "model": model, "final_norm": False, **changes}
    )


@pytest.fixture(scope="module")
def random_clip() -> torch.nn.Module:
    torch.manual_seed(0)
    return open_clip_family.build(settings(), 224, None).eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))


def official(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The visual tower's tensors as a published file names them, with some of the text tower's."""
    visual = {f"visual.{name}": t for name, t in module.visual.state_dict().items()}
    return {**visual, "logit_scale": torch.ones(()), "text_projection": torch.ones(2, 2)}


def test_tokens_are_the_last_block_before_norm_and_projection(random_clip, images):
    visual = random_clip.visual
    with torch.inference_mode():
        expected = visual.transformer(visual._embeds(images))[:, 1:].reshape(2, 7, 7, -1)
        torch.testing.assert_close(random_clip(images), expected)


def test_the_final_norm_is_ln_post(random_clip, images):
    normed = open_clip_family.build(settings(final_norm=True), 224, official(random_clip)).eval()
    with torch.inference_mode():
        torch.testing.assert_close(normed(images), random_clip.visual.ln_post(random_clip(images)))


@pytest.mark.parametrize("prefix", ["visual.", ""])
def test_a_whole_clip_and_a_bare_tower_load_alike(random_clip, images, prefix: str):
    state = official(random_clip) if prefix else random_clip.visual.state_dict()
    with torch.inference_mode():
        loaded = open_clip_family.build(settings(), 224, state).eval()
        assert torch.equal(loaded(images), random_clip(images))


def test_another_image_size_gets_a_resized_position_embedding(random_clip):
    larger = open_clip_family.build(settings(input_size=256), 518, official(random_clip)).eval()
    with torch.inference_mode():
        assert larger(torch.zeros(1, 3, 256, 256)).shape == (1, 8, 8, 384)


def test_weights_of_another_tower_are_refused(random_clip):
    state = official(random_clip)
    del state["visual.ln_post.weight"]
    with pytest.raises(TeacherError, match=r"ln_post\.weight"):
        open_clip_family.build(settings(), 224, state)


def test_openai_weights_are_refused_without_quickgelu():
    with pytest.raises(TeacherError, match="QuickGELU") as caught:
        open_clip_family.build(
            settings("ViT-B-32", weights="ViT-B-32.pt"), 224, {"input_resolution": torch.ones(())}
        )
    assert "ViT-B-32-quickgelu" in (caught.value.remedy or "")


def test_hub_weights_are_refused_with_the_wrong_activation():
    with pytest.raises(TeacherError, match="QuickGELU"):
        open_clip_family.build(settings("ViT-B-32.openai"), 224, {})


def test_the_tag_after_the_dot_names_the_hub_file():
    clip_l = open_clip_family.hub_file("ViT-L-14-quickgelu")
    assert clip_l == ("timm/vit_large_patch14_clip_224.openai", "open_clip_model.safetensors")
    assert open_clip_family.hub_file("ViT-L-14-quickgelu.openai") == clip_l
    assert "laion" in open_clip_family.hub_file("ViT-B-16.laion2b_s34b_b88k")[0]


@pytest.mark.parametrize("model", ["ViT-B-16.no_such_tag", "ViT-S-32-alt"])
def test_an_unknown_tag_has_a_remedy(model: str):
    with pytest.raises(TeacherError, match="has no weights") as caught:
        open_clip_family.hub_file(model)
    assert "weights to a path" in (caught.value.remedy or "")


def test_a_misspelt_model_is_answered_with_near_names():
    with pytest.raises(TeacherError, match="did you mean ViT-L-14-quickgelu"):
        open_clip_family.build(settings("ViT-L14-quickgelu"), 224, None)


def test_a_tower_that_is_a_cnn_is_refused():
    with pytest.raises(TeacherError, match="CNN"):
        open_clip_family.build(settings("RN50"), 224, None)


def test_a_tower_from_timm_gives_the_tokens_of_open_clips_model():
    torch.manual_seed(0)
    config = open_clip.get_model_config("MobileCLIP2-S0")
    tower = TimmModel(
        config["vision_cfg"]["timm_model_name"],
        embed_dim=config["embed_dim"],
        image_size=128,
        pool="avg",
        proj=None,
    ).eval()
    state = {f"visual.{name}": tensor for name, tensor in tower.state_dict().items()}
    state["text.token_embedding.weight"] = torch.ones(2, 2)
    chosen = settings("MobileCLIP2-S0.dfndr2b", weights="open_clip_model.safetensors")
    module = open_clip_family.build(chosen, 128, state).eval()
    images = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = tower.trunk.forward_intermediates(images, intermediates_only=True)[-1]
        torch.testing.assert_close(module(images), expected.permute(0, 2, 3, 1))
    assert open_clip_family.hub_file(chosen.model)[0] == "timm/MobileCLIP2-S0-OpenCLIP"


def test_each_archive_has_its_own_statistics():
    statistics = {
        model: open_clip_family.statistics(settings(model=model))
        for model in (
            *("ViT-L-14-quickgelu.openai", "ViT-B-16-SigLIP.webli"),
            *("ViT-S-32-alt", "ViT-B-32"),
        )
    }
    assert statistics["ViT-L-14-quickgelu.openai"][0][0] == pytest.approx(0.48145466)
    assert statistics["ViT-B-16-SigLIP.webli"] == ((0.5,) * 3, (0.5,) * 3)
    assert statistics["ViT-S-32-alt"] == statistics["ViT-B-32"]


def test_other_bands_than_three_are_refused():
    with pytest.raises(TeacherError, match="see 3 bands, found 4"):
        open_clip_family.build(
            settings(bands=(1, 2, 3, 4), mean=(0.5,) * 4, std=(0.5,) * 4), 224, None
        )


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"block": 12}, "no block 12"), ({"input_size": 220}, "multiple of 32 px, found 220")],
)
def test_a_tap_or_size_that_does_not_exist_is_refused(change: dict[str, int], reason: str):
    with torch.device("meta"), pytest.raises(TeacherError, match=reason):
        open_clip_family.build(settings(**change), 224, None)
