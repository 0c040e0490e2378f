import numpy as np

from pipeline.demo.scenes import CLASSES, draw_scene, draw_scenes
from rsmtdf_core.scenes.check import check_dataset
from rsmtdf_core.scenes.manifest import load_manifest


def test_drawn_scenes_are_a_sound_dataset_of_the_synthetic_manifest(tmp_path):
    draw_scenes(tmp_path, 10, 160, seed=0)
    result = check_dataset(load_manifest("synthetic"), tmp_path)
    assert result.problems == ()
    assert [split.labeled for split in result.splits] == [7, 2, 1]
    assert sum(split.ignored for split in result.splits) == 0


def test_a_scene_depends_on_seed_and_number_alone(tmp_path):
    draw_scenes(tmp_path / "one", 1, 96, seed=3)
    draw_scenes(tmp_path / "two", 2, 96, seed=3)
    draw_scenes(tmp_path / "other", 1, 96, seed=4)
    for kind in ("images", "masks"):
        first = (tmp_path / "one" / kind / "0000.png").read_bytes()
        assert (tmp_path / "two" / kind / "0000.png").read_bytes() == first
        assert (tmp_path / "two" / kind / "0001.png").read_bytes() != first
        assert (tmp_path / "other" / kind / "0000.png").read_bytes() != first


def test_a_few_scenes_have_every_class_in_telling_amounts():
    ids = np.stack([draw_scene(320, 0, number)[1] for number in range(12)])
    shares = np.bincount(ids.ravel(), minlength=len(CLASSES)) / ids.size
    assert shares.min() > 0.01
    assert shares.max() < 0.6


def test_no_pixel_is_left_unpainted():
    for number in range(6):
        image, ids = draw_scene(200, 1, number)
        assert image.shape == (200, 200, 3)
        assert ids.shape == (200, 200)
        assert image.max(axis=2).min() > 8


def test_classes_look_unlike_each_other():
    pixels = [draw_scene(240, 2, number) for number in range(8)]
    images = np.concatenate([image.reshape(-1, 3) for image, _ in pixels]).astype(float)
    ids = np.concatenate([mask.ravel() for _, mask in pixels])
    means = np.array([images[ids == class_id].mean(0) for class_id in range(len(CLASSES))])
    gaps = np.linalg.norm(means[:, None] - means[None], axis=2)
    assert gaps[~np.eye(len(CLASSES), dtype=bool)].min() > 8
