"""Scenes are predicted and counted pixel by pixel; panels show scenes that scores did not choose."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.errors import RunError
from rsmtdf_core.evaluation.scoring import (
    count_confusion,
    evenly,
    predict_ids,
    require_finite_output,
    scored_scenes,
)
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.scenes.manifest import load_manifest
from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.student.model import Student
from rsmtdf_core.student.settings import StudentSettings

MANIFEST = load_manifest("synthetic")
CLASSES = len(MANIFEST.classes)
SCENES = [Scene(f"s{i}", f"{i}.png", "m", 64, 64, sha256=f"{i:064x}") for i in range(3)]


class Noise:
    """Stands in for a SceneReader: noise drawn from the scene's digest."""

    dataset = SimpleNamespace(manifest=MANIFEST)

    def image(self, scene):
        draws = np.random.default_rng(int(scene.sha256, 16))
        return draws.integers(0, 256, (scene.height, scene.width, 3), np.uint8)

    def mask(self, scene):
        mask = self.image(scene)[..., 0] % (CLASSES + 1)
        return np.where(mask == CLASSES, MANIFEST.ignore_id, mask).astype(np.uint8)


@pytest.fixture(scope="module")
def student():
    torch.manual_seed(0)
    settings = StudentSettings(encoder="test_efficientnet", weights="random")
    return Student(settings, CLASSES, 64, []).eval()


def test_ids_are_those_of_the_largest_logits(student):
    image = Noise().image(SCENES[0])
    ids = predict_ids(student, image, InferenceSettings())
    assert ids.dtype == np.uint8
    with torch.inference_mode():
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
        expected = student.logits(student.normalise(pixels)).argmax(dim=1)[0]
    assert np.array_equal(ids, expected.numpy())


def test_every_pixel_of_every_scene_is_counted_once(student):
    student.train()
    shown = {}
    reader = Noise()
    counts = count_confusion(
        student,
        reader,
        SCENES,
        InferenceSettings(),
        lambda seen: shown.update({seen.scene.id: seen.ids}),
    )
    assert not student.training
    assert list(shown) == ["s0", "s1", "s2"]
    expected, ignored = np.zeros((CLASSES, CLASSES), np.int64), np.zeros(CLASSES, np.int64)
    for scene in SCENES:
        truth = reader.mask(scene)
        valid = truth != MANIFEST.ignore_id
        np.add.at(expected, (truth[valid], shown[scene.id][valid]), 1)
        np.add.at(ignored, shown[scene.id][~valid], 1)
    assert np.array_equal(counts.matrix, expected)
    assert np.array_equal(counts.ignored, ignored)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_an_output_that_is_not_finite_is_refused(value):
    logits = torch.zeros(2, 3, 4)
    require_finite_output(logits)
    logits[1, 2, 3] = value
    with pytest.raises(RunError, match="not finite") as caught:
        require_finite_output(logits)
    assert caught.value.remedy


@given(st.integers(0, 50), st.integers(1, 12))
def test_chosen_scenes_are_spread_evenly_from_the_first(number, count):
    scenes = [SimpleNamespace(id=i) for i in range(number)]
    chosen = [scene.id for scene in evenly(scenes, count)]
    assert len(chosen) == min(number, count)
    if chosen:
        assert chosen[0] == 0
        steps = {second - first for first, second in pairwise(chosen)}
        assert len(steps) <= 1


def test_only_scenes_with_a_mask_are_scored():
    without = Scene("s9", "9.png", None, 64, 64)
    assert scored_scenes([SCENES[0], without, SCENES[1]]) == tuple(SCENES[:2])
