"""The interval over scenes contains the mean IoU, narrows with more scenes, and is the same each time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsmtdf_core.evaluation.counts import PixelCounts
from rsmtdf_core.evaluation.interval import LEAST, SceneBootstrap
from rsmtdf_core.evaluation.protocols.find import find_protocols
from rsmtdf_core.scenes.manifest import load_manifest

MANIFEST = load_manifest("synthetic")
CLASSES = len(MANIFEST.classes)
(RULE,) = find_protocols(["rsmtdf"])


def scenes_of(seed: int, count: int) -> list[PixelCounts]:
    """Scenes of different sizes and quality, with all classes."""
    random = np.random.default_rng(seed)
    right = random.integers(1, 900, (count, 1, 1)) * np.eye(CLASSES, dtype=np.int64)
    wrong = random.integers(0, 90, (count, CLASSES, CLASSES))
    ignored = random.integers(0, 9, (count, CLASSES))
    return [PixelCounts(*pair) for pair in zip(right + wrong, ignored, strict=True)]


def interval(scenes, rule=RULE):
    bootstrap = SceneBootstrap(CLASSES)
    for scene in scenes:
        bootstrap.add(scene)
    return bootstrap.interval(rule, MANIFEST)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 99), count=st.integers(12, 30))
def test_it_contains_the_mean_iou_and_is_the_same_each_time(seed, count):
    scenes = scenes_of(seed, count)
    total = PixelCounts.zeros(CLASSES)
    for scene in scenes:
        total = total.plus(scene)
    low, high = interval(scenes)
    assert 0 <= low < RULE.score(total, MANIFEST).miou < high <= 1
    assert interval(scenes) == (low, high)


def test_more_scenes_of_the_same_kind_narrow_it_as_the_root_of_their_number():
    scenes = scenes_of(5, 20)
    few, many = (high - low for low, high in (interval(scenes), interval(scenes * 16)))
    assert few / many == pytest.approx(4, rel=0.2)


def test_equal_scenes_leave_nothing_to_choose():
    low, high = interval(scenes_of(1, 1) * 12)
    assert low == pytest.approx(high)


def test_it_follows_the_protocol():
    scenes = [PixelCounts(scene.matrix, scene.ignored * 99) for scene in scenes_of(2, 9)]
    (dwl,) = find_protocols(["dwl"])
    assert interval(scenes, dwl) != interval(scenes)


def test_few_scenes_have_none():
    assert interval(scenes_of(3, LEAST - 1)) is None
    assert interval(scenes_of(3, LEAST)) is not None
