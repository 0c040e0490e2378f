import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rsmtdf_core.manifests.masks import colorize, encode_mask

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


def test_colors_become_their_classes_place():
    raw = np.array([[[16, 32, 48], [160, 176, 192], [255, 255, 255]]], np.uint8)
    assert encode_mask(raw, COLORS)[0].tolist() == [[0, 1, 255]]


def test_unknown_colors_are_ignored_and_counted():
    raw = np.array([[[16, 32, 48], [1, 2, 255], [1, 2, 255]]], np.uint8)
    ids, unknown = encode_mask(raw, COLORS)
    assert ids.tolist() == [[0, 255, 255]]
    assert unknown == {"#0102FF": 2}


@given(hnp.arrays(np.uint8, (3, 4), elements=st.sampled_from([0, 1])))
def test_colorized_ids_encode_to_themselves(ids):
    again, unknown = encode_mask(colorize(ids, COLORS), COLORS)
    assert np.array_equal(again, ids)
    assert not unknown


def test_ignored_pixels_are_shown_black():
    assert colorize(np.array([[255, 1]], np.uint8), COLORS).tolist() == [
        [[0, 0, 0], [160, 176, 192]]
    ]
