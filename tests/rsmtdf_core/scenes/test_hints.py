"""Mask values that no class has get a helpful hint, or none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.scenes.hints import unknown_values_hint
from tests.rsmtdf_core.scenes.conftest import make_manifest

BINARY = [{"name": "a", "color": "#000000"}, {"name": "b", "color": "#FFFFFF"}]
INDICES = make_manifest(mask_encoding={"encoding": "indices"})
COLORS = make_manifest(classes=BINARY, mask_encoding={"encoding": "colors"})
PAINTED = make_manifest(mask_encoding={"encoding": "colors"})


def hint(values, manifest):
    return unknown_values_hint(dict.fromkeys(map(str, values), 7), manifest)


def test_known_values_need_no_hint():
    assert hint([], INDICES) is hint([], COLORS) is None


@pytest.mark.parametrize("match", ["threshold", "nearest"])
def test_masks_that_ignore_other_colors_need_no_hint(match):
    manifest = make_manifest(classes=BINARY, mask_encoding={"encoding": "colors", "match": match})
    assert hint(["#808080"], manifest) is None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([255], "mask_encoding.ignore"),
        ([40, 90, 237], "match: threshold"),
        (range(2, 240, 30), "match: threshold"),
        ([250, 251, 252, 253, 254, 249, 248, 247], "match: threshold"),
        ([250, 255], None),
        ([5], None),
        ([7, 300], None),
        ([-1, 200], None),
    ],
)
def test_numbers_that_look_like_white_or_smoothing_are_named(values, words):
    text = hint(values, INDICES)
    assert text is None if words is None else words in text


def test_classes_above_127_are_not_mistaken_for_smoothed_white():
    many = [{"name": str(number), "color": f"#{number:06X}"} for number in range(130)]
    assert (
        hint([200, 210], make_manifest(classes=many, mask_encoding={"encoding": "indices"})) is None
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["#010101"], "one encoding"),
        (["#808080"], "match: threshold"),
        (["#FEFEFE", "#010101"], "match: threshold"),
        (["#FEFEFE"], None),
        (["#FF0080"], None),
    ],
)
def test_colors_between_those_of_the_classes_are_smoothed_edges(values, words):
    text = hint(values, COLORS)
    assert text is None if words is None else words in text


@given(st.sets(st.integers(0, 2**24 - 1), min_size=65, max_size=80))
def test_more_colors_than_anybody_draws_come_from_lossy_files(drawn):
    colors = [f"#{number:06X}" for number in drawn]
    text = hint(colors, PAINTED)
    assert f"{len(colors)} colo" in text
    assert "match: nearest" in text
    assert hint(colors[:3], PAINTED) is None


@given(st.lists(st.integers(0, 255), max_size=12, unique=True))
def test_the_hint_for_numbers_never_names_fewer_grays_than_there_are(values):
    text = hint(values, INDICES)
    if text is not None and "gray values" in text:
        assert str(max(values)) in text
        assert max(values) >= np.uint8(128)
