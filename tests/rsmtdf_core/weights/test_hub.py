"""Without a network the hub is asked once, and the answer is one line."""

import time

import huggingface_hub
import pytest
from huggingface_hub import constants

from rsmtdf_core.student.pretrained import fetch_encoder
from rsmtdf_core.student.settings import StudentSettings
from rsmtdf_core.weights.hub import cached_file, download, is_available

FILE = "timm/resnet18.a1_in1k", "model.safetensors"


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty cache, and a hub at a closed port; retries do not wait."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    template = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)

    def sleep(seconds: float) -> None:
        raise AssertionError(f"waits {seconds} s for another try")

    monkeypatch.setattr(time, "sleep", sleep)
    return tmp_path


def test_a_hub_that_cannot_be_reached_is_asked_once(offline):
    with pytest.raises(OSError, match="refused") as caught:
        download(*FILE)
    assert "\n" not in str(caught.value)


def test_offline_mode_is_one_line(offline, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(OSError, match="offline"):
        download(*FILE)


def test_a_file_that_is_neither_cached_nor_reachable_is_not_available(offline, monkeypatch):
    assert not is_available(*FILE)
    path = offline / "model.safetensors"
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: str(path))
    assert is_available(*FILE)


def test_the_students_weights_are_fetched_in_the_same_way(offline):
    with pytest.raises(OSError, match="refused"):
        fetch_encoder(StudentSettings(encoder="resnet18.a1_in1k", weights="hub"))


def test_a_cached_file_needs_no_hub(offline, monkeypatch):
    path = offline / "model.safetensors"
    path.touch()
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: str(path))
    assert download(*FILE) == cached_file(*FILE) == path
