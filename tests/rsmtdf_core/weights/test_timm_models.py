"""The hub's files of timm's models are found without the network, and a wrong name gets near ones."""

import pytest

from rsmtdf_core.errors import TeacherError
from rsmtdf_core.weights.timm_models import hub_file, pretrained_config


def test_a_model_has_its_repository_and_file():
    assert hub_file("vit_small_patch14_dinov2.lvd142m") == (
        "timm/vit_small_patch14_dinov2.lvd142m",
        "model.safetensors",
    )


def test_a_model_without_weights_on_the_hub_is_refused():
    with pytest.raises(TeacherError, match="no weights for 'coatnet_0_224'"):
        hub_file("coatnet_0_224")


@pytest.mark.parametrize("name", ["vit_small_patch14_dinov", "vit_small_patch14_dinov2.lvd142"])
def test_an_unknown_model_or_tag_is_refused_with_near_names(name):
    with pytest.raises(TeacherError, match=r"did you mean .*vit_small_patch14_dinov2") as caught:
        pretrained_config(name)
    assert repr(name) in caught.value.what


def test_a_name_like_no_other_gets_no_suggestion():
    with pytest.raises(TeacherError) as caught:
        pretrained_config("0")
    assert "did you mean" not in caught.value.what
