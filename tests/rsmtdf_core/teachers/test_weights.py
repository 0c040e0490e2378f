import warnings
from collections import OrderedDict
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import save_file
from torch import nn

from rsmtdf_core.errors import TeacherError
from rsmtdf_core.fingerprints import file_sha256
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.teachers.weights import (
    fetch_weights,
    load_exactly,
    locate_weights,
    read_state,
    timm_names,
    without_prefix,
)

STATE = {"visual.conv1.weight": torch.arange(6.0).reshape(2, 3), "visual.proj": torch.ones(4)}


class NotTensors:
    """Stands for code that a pickle could run."""


def settings(**changes: object) -> TeacherSettings:
    return TeacherSettings(
        **{"name": "dino", "family": "timm", "model": "vit_base_patch14_dinov2.lvd142m", **changes}
    )


def torchscript(state: dict[str, torch.Tensor]) -> torch.jit.ScriptModule:
    root = nn.Module()
    for name, tensor in state.items():
        *folders, leaf = name.split(".")
        place = root
        for folder in folders:
            if not hasattr(place, folder):
                place.add_module(folder, nn.Module())
            place = getattr(place, folder)
        place.register_buffer(leaf, tensor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch means to drop TorchScript
        return torch.jit.script(root)


def write(path: Path, kind: str) -> Path:
    if kind == "safetensors":
        save_file(STATE, path.with_suffix(".safetensors"))
        return path.with_suffix(".safetensors")
    if kind == "torchscript":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torchscript(STATE).save(path)
        return path
    wrapped = {
        "plain": STATE,
        "ordered": OrderedDict(STATE),
        "wrapped": {"model": STATE, "optimizer": {"lr": 0.1}, "epoch": 3},
        "parallel": {"state_dict": {f"module.{name}": tensor for name, tensor in STATE.items()}},
    }[kind]
    torch.save(wrapped, path, _use_new_zipfile_serialization=kind != "ordered")
    return path


@pytest.mark.parametrize(
    "kind", ["safetensors", "torchscript", "plain", "ordered", "wrapped", "parallel"]
)
def test_every_format_reads_as_the_same_tensors(tmp_path: Path, kind: str):
    found = read_state(write(tmp_path / "weights.pt", kind))
    assert found.keys() == STATE.keys()
    for name, tensor in STATE.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path):
    torch.save({"model": NotTensors()}, tmp_path / "weights.pth")
    with pytest.raises(TeacherError, match="not a readable weights file"):
        read_state(tmp_path / "weights.pth")


@pytest.mark.parametrize("kind", ["safetensors", "torchscript", "plain"])
def test_a_file_cut_short_is_refused(tmp_path: Path, kind: str):
    path = write(tmp_path / "weights.pt", kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(TeacherError, match="not a readable weights file") as caught:
        read_state(path)
    assert caught.value.where == str(path)


def test_a_file_without_tensors_is_refused(tmp_path: Path):
    torch.save([1, 2, 3], tmp_path / "weights.pth")
    with pytest.raises(TeacherError, match="it holds no tensors"):
        read_state(tmp_path / "weights.pth")


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


def test_timm_names_agree_with_timms_own_conversion_of_register_models():
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
    found = timm_names(official)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


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


def test_weights_are_located_only_where_they_are(tmp_path: Path):
    here = write(tmp_path / "weights.pth", "plain")
    assert locate_weights(settings(weights=str(here))) == here
    assert locate_weights(settings(weights=str(tmp_path / "absent.pth"))) is None
    assert locate_weights(settings(weights="random")) is None


def test_the_hub_cache_is_read_without_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def cached(repository: str, name: str) -> str:
        asked.append((repository, name))
        return str(tmp_path / "blob")

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    assert locate_weights(settings()) == tmp_path / "blob"
    assert asked == [("timm/vit_base_patch14_dinov2.lvd142m", "model.safetensors")]


def test_a_weights_file_comes_with_its_digest(tmp_path: Path):
    path = write(tmp_path / "weights.pth", "plain")
    assert fetch_weights(settings(weights=str(path))) == (path, file_sha256(path))


def test_another_file_than_the_one_named_is_refused_with_both_digests(tmp_path: Path):
    path = write(tmp_path / "weights.pth", "plain")
    with pytest.raises(TeacherError) as caught:
        fetch_weights(settings(weights=str(path), weights_sha256="a" * 64))
    assert "a" * 64 in caught.value.what
    assert file_sha256(path) in caught.value.what


def test_a_path_without_a_file_is_refused(tmp_path: Path):
    with pytest.raises(TeacherError, match="does not exist"):
        fetch_weights(settings(weights=str(tmp_path / "absent.pth")))


def test_weights_that_cannot_be_had_come_with_the_ways_to_give_them(
    monkeypatch: pytest.MonkeyPatch,
):
    def offline(repository: str, name: str) -> str:
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    with pytest.raises(TeacherError, match="no network") as caught:
        fetch_weights(settings())
    remedy = caught.value.remedy or ""
    assert "hf download timm/vit_base_patch14_dinov2.lvd142m model.safetensors" in remedy
    assert "path of a file" in remedy
    assert "random" in remedy
