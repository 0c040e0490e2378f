"""Cached features as a dataset: tokens with the very pixels that the teachers saw."""

import pickle

import pytest
import torch
from torch.utils.data import DataLoader

import rsmtdf
from rsmtdf_core.errors import StoreIncompleteError, StoreMismatchError
from rsmtdf_core.teachers.teacher import load_teacher


@pytest.fixture(scope="module")
def dataset(extracted):
    return rsmtdf.open_features(extracted)


def test_tokens_are_those_of_the_teacher(dataset, extracted):
    config = rsmtdf.load_config(extracted)
    for settings in config.teachers:
        teacher = load_teacher(settings, config.views.crop, "cpu")
        for index in (0, len(dataset) - 1):
            item = dataset[index]
            tokens = teacher.tokens(item["image"][None, :3])[0]
            error = (item["tokens"][settings.name] - tokens).norm() / tokens.norm()
            assert error < 0.02, (settings.name, index)  # the codec's rounding


def test_masks_are_given_of_labeled_views_alone(dataset):
    labeled = [item for item in dataset if item["labeled"]]
    others = [item for item in dataset if not item["labeled"]]
    assert len(labeled) == 2 * 2  # a quarter of ten scenes, twice
    assert len(others) == 2 * 8
    assert all((item["mask"] != 255).any() for item in labeled)
    assert all((item["mask"] == 255).all() for item in others)
    assert {item["scene"] for item in labeled}.isdisjoint(item["scene"] for item in others)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_collates_the_views(dataset, workers):
    batches = list(DataLoader(dataset, batch_size=5, num_workers=workers))
    assert sum(len(batch["scene"]) for batch in batches) == len(dataset)
    batch = batches[0]
    assert batch["image"].shape == (5, 3, 64, 64)
    assert batch["image"].dtype == torch.uint8
    assert batch["mask"].shape == (5, 64, 64)
    for name, shape in dataset.shapes.items():
        assert batch["tokens"][name].shape == (5, *shape.record_shape)
        assert batch["tokens"][name].dtype == torch.float32


def test_a_copy_in_another_process_gives_the_same(dataset):
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[3]["image"], dataset[3]["image"])
    assert torch.equal(copy[3]["tokens"]["vit"], dataset[3]["tokens"]["vit"])


def test_a_store_gives_the_same_tokens_without_pixels(dataset, extracted):
    report = rsmtdf.extract_features(extracted)
    known = {(item["scene"], item["number"], item["labeled"]): item["tokens"] for item in dataset}
    for store in report.stores:
        tokens = rsmtdf.open_features(store.path)
        assert len(tokens) == len(dataset)
        for item in tokens:
            assert set(item) == {"tokens", "scene", "number", "labeled"}
            key = item["scene"], item["number"], item["labeled"]
            assert torch.equal(item["tokens"][store.teacher], known[key][store.teacher])


def test_some_teachers_can_be_chosen(extracted):
    dataset = rsmtdf.open_features(extracted, teachers=["cnn"])
    assert set(dataset[0]["tokens"]) == set(dataset.shapes) == {"cnn"}


def test_indices_are_those_of_a_sequence(dataset):
    assert torch.equal(dataset[-1]["image"], dataset[len(dataset) - 1]["image"])
    for index in (len(dataset), -len(dataset) - 1):
        with pytest.raises(IndexError):
            dataset[index]


def test_changed_pixels_are_refused(extracted):
    dataset = rsmtdf.open_features(extracted)
    dataset._crops = dataset._crops + 1
    with pytest.raises(StoreMismatchError, match="differs from the crop that the teachers saw"):
        dataset[0]


def test_missing_views_are_refused(extracted):
    with pytest.raises(StoreIncompleteError):
        rsmtdf.open_features(extracted, overrides={"views.unlabeled_views": 3})
