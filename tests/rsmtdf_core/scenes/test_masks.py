import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rsmtdf_core.scenes.masks import colorize, encode_mask

from .conftest import make_manifest

COLORS = make_manifest(mask_encoding={"encoding": "colors", "ignore": ["#FFFFFF"]})


def test_indices_lose_their_offset_and_ignored_ones_become_the_ignore_id():
    ids, unknown = encode_mask(np.array([[0, 1, 2]], np.uint8), make_manifest())
    assert ids.tolist() == [[255, 0, 1]]
    assert ids.dtype == np.uint8
    assert unknown == {}


def test_unknown_indices_are_ignored_and_counted():
    raw = np.array([[1, 7, 7], [2, 300, -4]], np.int32)
    ids, unknown = encode_mask(raw, make_manifest())
    assert ids.tolist() == [[0, 255, 255], [1, 255, 255]]
    assert unknown == {"-4": 1, "7": 2, "300": 1}


def test_colors_become_class_ids():
    raw = np.array([[[16, 32, 48], [160, 176, 192], [255, 255, 255]]], np.uint8)
    assert encode_mask(raw, COLORS)[0].tolist() == [[0, 1, 255]]


def test_unknown_colors_are_ignored_and_counted():
    raw = np.array([[[16, 32, 48], [1, 2, 255], [1, 2, 255]]], np.uint8)
    ids, unknown = encode_mask(raw, COLORS)
    assert ids.tolist() == [[0, 255, 255]]
    assert unknown == {"#0102FF": 2}


def test_a_value_that_is_a_class_and_ignored_is_ignored():
    indices = make_manifest(mask_encoding={"encoding": "indices", "ignore": [1]})
    assert encode_mask(np.array([[0, 1]], np.uint8), indices)[0].tolist() == [[0, 255]]
    colors = make_manifest(mask_encoding={"encoding": "colors", "ignore": ["#102030"]})
    raw = np.array([[[16, 32, 48], [160, 176, 192]]], np.uint8)
    ids, unknown = encode_mask(raw, colors)
    assert ids.tolist() == [[255, 1]]
    assert unknown == {}


@given(hnp.arrays(np.uint8, (3, 4), elements=st.sampled_from([0, 1])))
def test_colorized_ids_encode_to_themselves(ids):
    again, unknown = encode_mask(colorize(ids, COLORS), COLORS)
    assert np.array_equal(again, ids)
    assert not unknown


def test_ignored_pixels_are_shown_black():
    assert colorize(np.array([[255, 1]], np.uint8), COLORS).tolist() == [
        [[0, 0, 0], [160, 176, 192]]
    ]


CUBE = [
    {"name": "urban", "color": "#00FFFF"},
    {"name": "barren", "color": "#FFFFFF"},
    {"name": "unknown", "color": "#000000"},
]


@pytest.mark.parametrize(
    ("color", "match", "expected"),
    [
        ((3, 250, 251), "exact", None),
        ((127, 128, 255), "threshold", 0),
        ((128, 128, 128), "threshold", 1),
        ((127, 127, 0), "threshold", 2),
        ((255, 0, 0), "threshold", None),
        ((60, 255, 175), "nearest", 0),  # 100 away
        ((61, 255, 175), "nearest", None),
        ((200, 200, 200), "nearest", 1),  # 95.3 away
        ((255, 0, 0), "nearest", None),
    ],
)
def test_off_colors_are_matched_by_the_manifests_rule(color, match, expected):
    encoding = {"encoding": "colors", "match": match, "max_distance": 100}
    manifest = make_manifest(classes=CUBE, mask_encoding=encoding)
    raw = np.array([[(0, 255, 255), color, color]], np.uint8)
    ids, unknown = encode_mask(raw, manifest)
    assert ids.tolist() == [[0, *[255 if expected is None else expected] * 2]]
    name = "#{:02X}{:02X}{:02X}".format(*color)
    assert unknown == ({name: 2} if expected is None else {})


def test_large_masks_are_converted_in_bands_like_small_ones(monkeypatch):
    raw = np.random.default_rng(0).integers(0, 5, (23, 7)).astype(np.uint8)
    manifest = make_manifest()
    whole = encode_mask(raw, manifest)
    monkeypatch.setattr("rsmtdf_core.scenes.masks._BAND_PIXELS", 20)
    ids, unknown = encode_mask(raw, manifest)
    assert np.array_equal(ids, whole[0])
    assert unknown == whole[1]
    assert unknown.keys() == {"3", "4"}


def test_threshold_needs_colors_at_the_ends_of_each_channel():
    with pytest.raises(ValueError, match="threshold cannot match #102030"):
        make_manifest(mask_encoding={"encoding": "colors", "match": "threshold"})
