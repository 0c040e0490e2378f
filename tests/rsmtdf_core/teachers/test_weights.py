from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError

from rsmtdf_core.errors import TeacherError
from rsmtdf_core.fingerprints import file_sha256
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.teachers.weights import fetch_weights, locate_weights


def settings(**changes: object) -> TeacherSettings:
    return TeacherSettings(
        **{"name": "dino", "family": "timm", "model": "vit_base_patch14_dinov2.lvd142m", **changes}
    )


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.save({"proj": torch.ones(4)}, tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


def test_weights_are_located_only_at_existing_paths(tmp_path: Path, weights: Path):
    assert locate_weights(settings(weights=str(weights))) == weights
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


def test_a_weights_file_comes_with_its_digest(weights: Path):
    assert fetch_weights(settings(weights=str(weights))) == (weights, file_sha256(weights))


def test_another_file_than_the_one_named_is_refused_with_both_digests(weights: Path):
    with pytest.raises(TeacherError) as caught:
        fetch_weights(settings(weights=str(weights), weights_sha256="a" * 64))
    assert "a" * 64 in caught.value.what
    assert file_sha256(weights) in caught.value.what


def test_a_path_without_a_file_is_refused(tmp_path: Path):
    with pytest.raises(TeacherError, match="does not exist"):
        fetch_weights(settings(weights=str(tmp_path / "absent.pth")))


def test_weights_that_cannot_be_had_come_with_the_ways_to_give_them(
    monkeypatch: pytest.MonkeyPatch,
):
    def offline(url: str) -> None:
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", offline)
    with pytest.raises(TeacherError, match="no network") as caught:
        fetch_weights(settings())
    remedy = caught.value.remedy or ""
    assert "hf download timm/vit_base_patch14_dinov2.lvd142m model.safetensors" in remedy
    assert "path of a file" in remedy
    assert "random" in remedy
