"""Windows at a border become full crops; inner windows, whole images and other manifests stay as they are."""

import pickle

import numpy as np
import pytest

from rsmtdf_core.scenes.find import find_scenes
from rsmtdf_core.scenes.padding import PaddedReader, border_scenes, padded
from rsmtdf_core.scenes.reader import SceneReader

from .conftest import make_manifest

WINDOW = {"size": 5, "stride": 5}  # of images of 8 x 6 px
PADDING = {"padding": "high"}


def dataset_of(root, **changes):
    dataset = find_scenes(make_manifest(splits={"train": {}}, **changes), root)
    return dataset, {scene.id: scene for scene in dataset.splits["train"]}


def test_the_part_is_at_the_left_and_top():
    part = np.arange(12, dtype=np.uint8).reshape(2, 3, 2)
    crop = padded(part, 4, 9)
    assert crop.shape == (4, 4, 2)
    assert np.array_equal(crop[:2, :3], part)
    assert (crop[2:] == 9).all()
    assert (crop[:, 3:] == 9).all()
    assert padded(part[..., 0], 3, 0).shape == (3, 3)


def test_scenes_at_a_border_are_smaller_than_their_window(root):
    dataset, scenes = dataset_of(root, window=WINDOW)
    border = border_scenes(dataset.manifest, scenes.values())
    assert {scene.id for scene in border} == {
        f"s{number}@{corner}" for number in range(4) for corner in ("5,0", "0,5", "5,5")
    }
    whole, images = dataset_of(root)
    assert border_scenes(whole.manifest, images.values()) == ()


def test_windows_at_a_border_have_black_pixels_and_the_class_of_the_padding(root):
    dataset, scenes = dataset_of(root, window=WINDOW, protocols=PADDING)
    reader, plain = pickle.loads(pickle.dumps(PaddedReader(dataset))), SceneReader(dataset)
    corner = scenes["s2@5,5"]
    image, mask = reader.image(corner), reader.mask(corner)
    assert (image.shape, mask.shape) == ((5, 5, 3), (5, 5))
    assert np.array_equal(image[:1, :3], plain.image(corner))
    assert np.array_equal(mask[:1, :3], plain.mask(corner))
    assert not image[1:].any()
    assert not image[:, 3:].any()
    assert (mask[1:] == 1).all()
    assert (mask[:, 3:] == 1).all()
    assert reader.picture(corner).shape == (5, 5, 3)
    inner = scenes["s2@0,0"]
    assert np.array_equal(reader.image(inner), plain.image(inner))
    assert np.array_equal(reader.mask(inner), plain.mask(inner))


@pytest.mark.parametrize("changes", [{"window": WINDOW}, {"protocols": PADDING}])
def test_without_windows_or_a_class_for_the_padding_nothing_changes(root, changes):
    dataset, scenes = dataset_of(root, **changes)
    reader, plain = PaddedReader(dataset), SceneReader(dataset)
    for scene in scenes.values():
        assert np.array_equal(reader.image(scene), plain.image(scene))
        assert np.array_equal(reader.mask(scene), plain.mask(scene))
