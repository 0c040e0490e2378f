"""Scenes are counted, and the machine and weights files are found."""

import numpy as np
import pytest
from PIL import Image

from pipeline.start import looking
from pipeline.start.choosing import DINO_SMALL, LITE0, VIT_SMALL
from pipeline.start.looking import find_weights, look_at_data, look_at_machine, training_scenes
from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.find import find_scenes
from rsmtdf_core.scenes.manifest import load_manifest


@pytest.fixture
def dataset(tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for number in range(20):
        size = (40, 30 + number, 3)
        Image.fromarray(np.zeros(size, np.uint8)).save(tmp_path / "images" / f"{number}.png")
        if number % 2:
            mask = np.zeros(size[:2], np.uint8)
            Image.fromarray(mask).save(tmp_path / "masks" / f"{number}.png")
    return find_scenes(load_manifest("folder"), tmp_path)


def test_scenes_are_counted_by_their_masks(dataset):
    data = look_at_data(dataset)
    train, val, test = (dataset.splits[split] for split in ("train", "val", "test"))
    masked = [scene for scene in train if scene.mask is not None]
    assert (data.labeled, data.unlabeled) == (len(masked), len(train) - len(masked))
    assert data.val == sum(scene.mask is not None for scene in val)
    assert data.test == sum(scene.mask is not None for scene in test)
    assert 30 <= data.side <= 40
    pixels = sum(scene.width * 40 for scene in val if scene.mask is not None)
    assert data.val_megapixels == pytest.approx(pixels / 1e6)


def test_the_manifests_list_decides_which_masks_are_used(dataset):
    labeled, _ = training_scenes(dataset)
    listed = dataset.manifest.model_copy(update={"labeled": (labeled[0].id,)})
    some = type(dataset)(listed, dataset.root, dataset.splits)
    used, others = training_scenes(some)
    assert used == labeled[:1]
    assert {scene.id for scene in (*used, *others)} == {
        scene.id for scene in dataset.splits["train"]
    }


def test_without_a_mask_there_is_no_start(dataset):
    splits = {
        "train": tuple(scene for scene in dataset.splits["train"] if scene.mask is None),
    }
    with pytest.raises(DataError, match="has a mask to learn from"):
        look_at_data(type(dataset)(dataset.manifest, dataset.root, splits))


def test_the_machine_has_cores_memory_and_disk(tmp_path):
    machine = look_at_machine(tmp_path / "missing" / "cache")
    assert machine.cores >= 1
    assert machine.memory > 0
    assert machine.disk > 0
    assert machine.name


def test_local_files_are_known_by_their_names(tmp_path, monkeypatch):
    monkeypatch.setattr(looking, "is_available", lambda repository, name: False)
    for name in ("dinov2_vits14_pretrain.pth", "notes_dinov2_vitb14.txt", "other.pth"):
        (tmp_path / name).touch()
    weights = find_weights(tmp_path)
    assert weights == dict.fromkeys(
        (VIT_SMALL.encoder, DINO_SMALL.model), str(tmp_path / "dinov2_vits14_pretrain.pth")
    )
    with pytest.raises(MissingFileError, match="weights"):
        find_weights(tmp_path / "missing")


def test_the_hub_has_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(
        looking, "is_available", lambda repository, name: "efficientnet" in repository
    )
    assert find_weights(None) == {LITE0.encoder: "hub"}
