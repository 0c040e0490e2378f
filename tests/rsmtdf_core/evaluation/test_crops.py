"""Each reader's counts are those of all its scenes; only windows at a border are predicted for each reader."""

import numpy as np
import pytest
import torch
from PIL import Image

import rsmtdf_core.evaluation.crops
from rsmtdf_core.evaluation.crops import count_crops, crop_readers, crops_text, score_crops
from rsmtdf_core.evaluation.protocols.find import find_protocols
from rsmtdf_core.evaluation.scoring import count_confusion
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.scenes.find import find_scenes
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.student.model import Student
from rsmtdf_core.student.settings import StudentSettings

from .protocols.conftest import manifest_of

WHOLE = InferenceSettings()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two images of 80 x 48 px: a window of 32 px has 4 inner and 8 border neighbors in them."""
    folder = tmp_path_factory.mktemp("crops")
    draws = np.random.default_rng(0)
    for kind, high, shape in (("images", 256, (48, 80, 3)), ("masks", 3, (48, 80))):
        (folder / kind).mkdir()
        for name in "ab":
            pixels = draws.integers(0, high, shape).astype(np.uint8)
            Image.fromarray(pixels).save(folder / kind / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def student():
    torch.manual_seed(0)
    settings = StudentSettings(encoder="test_efficientnet", weights="random")
    return Student(settings, 3, 32, []).eval()


def dataset_of(root, *, padding="forest", window=32):
    values = manifest_of(3, **({"padding": padding} if padding else {})).model_dump()
    values["window"] = {"size": window, "stride": window} if window else None
    dataset = find_scenes(Manifest.model_validate(values), root)
    return dataset, dataset.splits["train"]


def test_border_windows_alone_are_predicted_for_each_reader(root, student, monkeypatch):
    dataset, scenes = dataset_of(root)
    readers = crop_readers(dataset, find_protocols(["official", "rsmtdf", "dwl"]))
    assert list(readers) == [True, False]
    predicted = []

    def counting(student, reader, scenes, inference, on_scene):
        predicted.extend(scene.id for scene in scenes)
        return count_confusion(student, reader, scenes, inference, on_scene)

    monkeypatch.setattr(rsmtdf_core.evaluation.crops, "count_confusion", counting)
    calls = []
    counts = count_crops(
        student, readers, scenes, WHOLE, lambda key, prediction: calls.append((key, prediction))
    )
    assert len(scenes) == 12
    assert len(predicted) == 4 + 2 * 8
    for key, reader in readers.items():
        expected = count_confusion(student, reader, scenes, WHOLE)
        assert np.array_equal(counts[key].matrix, expected.matrix)
        assert np.array_equal(counts[key].ignored, expected.ignored)
        shown = {item.scene.id: item.ids.shape for seen, item in calls if seen == key}
        assert shown == {scene.id: reader.mask(scene).shape for scene in scenes}
    assert counts[True].matrix.sum() == 12 * 32 * 32
    assert counts[False].matrix.sum() == 2 * 48 * 80


def test_a_single_reader_or_scenes_without_a_border_take_one_pass(root, student):
    dataset, scenes = dataset_of(root, window=16)
    calls = []
    readers = crop_readers(dataset, find_protocols(["rsmtdf", "official"]))
    counts = count_crops(student, readers, scenes, WHOLE, lambda *call: calls.append(call))
    assert counts[True] is counts[False]
    assert len(calls) == 2 * len(scenes) == 60
    dataset, scenes = dataset_of(root)
    (counts,) = count_crops(
        student, crop_readers(dataset, find_protocols(["official"])), scenes, WHOLE, lambda *_: None
    ).values()
    assert counts.matrix.sum() == 12 * 32 * 32


def test_the_scored_crops_are_described(root):
    dataset, scenes = dataset_of(root)
    manifest = dataset.manifest
    assert crops_text(manifest, scenes, padded=False) == (
        "12 windows of 32 x 32 px, 8 of them smaller at a border"
    )
    assert crops_text(manifest, scenes, padded=True) == (
        "12 windows of 32 x 32 px, 8 of them padded at a border as in the published crops: image black, "
        "mask forest"
    )
    dataset, scenes = dataset_of(root, padding=None)
    assert crops_text(dataset.manifest, scenes, padded=True).endswith(
        "these are not padded, as the manifest has no protocols.padding"
    )
    dataset, scenes = dataset_of(root, window=16)
    assert crops_text(dataset.manifest, scenes, padded=True) == "30 windows of 16 x 16 px"
    dataset, scenes = dataset_of(root, window=None)
    assert crops_text(dataset.manifest, scenes, padded=True) == "2 images of 80 x 48 px"
    (official,) = find_protocols(["official"])
    reader = crop_readers(dataset, [official])[True]
    counts = official_counts(reader, scenes)
    assert score_crops(official, counts, dataset.manifest, scenes).crops == "2 images of 80 x 48 px"


def official_counts(reader, scenes):
    """The counts of a prediction that is right everywhere."""
    from rsmtdf_core.evaluation.counts import Confusion

    confusion = Confusion(3)
    for scene in scenes:
        confusion.add(reader.mask(scene), reader.mask(scene))
    return confusion.counts
