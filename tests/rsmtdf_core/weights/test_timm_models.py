"""timm's models are found by name without the network, and a wrong name gets near ones."""

import json

import huggingface_hub
import pytest
import timm

from rsmtdf_core.errors import TeacherError
from rsmtdf_core.weights.timm_models import create, fetch_config, find_model, hub_file, statistics

NAME = "hf-hub:someone/small"


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """A hub's local cache with these files of a repository."""

    def keep(**files: object) -> None:
        paths = {}
        for name, values in files.items():
            path = tmp_path / f"{name}.json"
            path.write_text(values if isinstance(values, str) else json.dumps(values))
            paths["someone/small", path.name] = str(path)
        monkeypatch.setattr(
            huggingface_hub, "try_to_load_from_cache", lambda *file: paths.get(file)
        )

    keep()
    return keep


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
        find_model(name)
    assert repr(name) in caught.value.what


def test_a_name_like_no_other_gets_no_suggestion():
    with pytest.raises(TeacherError) as caught:
        find_model("0")
    assert "did you mean" not in caught.value.what


def test_a_repository_of_timm_is_the_model_of_that_name(cached):
    name = "vit_small_patch14_dinov2.lvd142m"
    assert hub_file(f"hf-hub:timm/{name}") == hub_file(name)
    assert find_model(f"hf-hub:timm/{name}") == find_model(name)


def test_another_repository_is_created_as_its_config_describes(cached):
    cached(
        config={
            "architecture": "test_vit",
            "model_args": {"img_size": 96, "reg_tokens": 2},
            "pretrained_cfg": {
                "mean": [0.1, 0.2, 0.3],
                "std": [0.4, 0.5, 0.6],
                "input_size": [3, 96, 96],
                "a_key_of_another_version": 1,
            },
        }
    )
    assert hub_file(NAME) == ("someone/small", "model.safetensors")
    assert statistics(NAME) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    net = create(NAME).net
    assert (net.patch_embed.img_size, net.num_reg_tokens) == ((96, 96), 2)
    fetch_config(NAME)  # is there: no download


def test_a_repository_that_is_not_in_the_cache_names_the_download(cached):
    with pytest.raises(TeacherError, match="not in the hub's local cache") as caught:
        find_model(NAME)
    assert "hf download someone/small config.json" in (caught.value.remedy or "")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("no JSON", "not the config of a timm model"),
        ([1], "not the config of a timm model"),
        ({"model_type": "bert"}, "not the config of a timm model"),
        ({"architecture": "no_such_model"}, "no architecture 'no_such_model'"),
    ],
)
def test_a_config_of_another_library_is_refused(cached, config, reason):
    cached(config=config)
    with pytest.raises(TeacherError, match=reason):
        find_model(NAME)


def test_a_creation_leaves_timms_loading_as_it_was(monkeypatch):
    from timm.models import _builder

    before = _builder.load_pretrained
    created = create("test_vit", for_weights=True)
    assert _builder.load_pretrained is before
    assert created.convert is not None
    assert create("test_vit").convert is None
    with pytest.raises(TypeError):
        create("resnet18", for_weights=True, no_such_option=1)
    assert _builder.load_pretrained is before
    assert (
        timm.create_model("test_vit", num_classes=0).state_dict().keys()
        == created.net.state_dict().keys()
    )
