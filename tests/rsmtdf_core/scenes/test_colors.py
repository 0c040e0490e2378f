"""Colors of classes in pictures."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.scenes.colors import picture_colors
from rsmtdf_core.scenes.manifest import load_manifest, packaged_manifests
from rsmtdf_core.scenes.pixel_masks import color_rgb

from .conftest import make_manifest


def colors_of(*colors: str):
    classes = [{"name": f"class {color}", "color": color} for color in colors]
    return picture_colors(make_manifest(classes=classes))


def distance(first: str, second: str) -> float:
    return float(np.linalg.norm(np.subtract(color_rgb(first), color_rgb(second))))


@pytest.mark.parametrize("name", packaged_manifests())
def test_published_colors_stay(name):
    manifest = load_manifest(name)
    assert picture_colors(manifest).classes == tuple(spec.color for spec in manifest.classes)


@given(st.lists(st.integers(0, 255), min_size=2, max_size=8, unique=True))
def test_grays_can_be_told_apart(levels):
    shown = colors_of(*(f"#{level:02X}{level:02X}{level:02X}" for level in levels))
    pairs = itertools.combinations((*shown.classes, shown.unlabeled), 2)
    assert min(distance(*pair) for pair in pairs) >= 40


def test_grays_far_apart_and_other_colors_stay():
    for colors in (("#000000", "#808080", "#FFFFFF"), ("#101060", "#101070"), ("#0A0A0A",)):
        assert colors_of(*colors).classes == colors
    mixed = colors_of("#010101", "#4C78A8", "#020202")
    assert mixed.classes[1] == "#4C78A8"
    assert len(set(mixed.classes)) == 3


@given(
    st.lists(
        st.integers(0, 2**24 - 1).map(lambda code: f"#{code:06X}"),
        min_size=1,
        max_size=12,
        unique=True,
    )
)
def test_unlabeled_pixels_look_like_no_class(colors):
    shown = colors_of(*colors)
    painted = shown.painted(np.array([[255, *range(len(colors))]], np.uint8))
    distances = np.linalg.norm(painted[0, 1:].astype(float) - painted[0, 0], axis=1)
    assert distances.min() > 30


def test_many_grays_have_as_many_colors():
    shown = colors_of(*(f"#{level:02X}{level:02X}{level:02X}" for level in range(255)))
    assert len(set(shown.classes)) == 255
