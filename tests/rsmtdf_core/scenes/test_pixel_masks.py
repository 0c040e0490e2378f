"""Classes by mask values, several of which may be of one class."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rsmtdf_core.fingerprints import fingerprint
from rsmtdf_core.scenes.check import check_dataset
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.masks import encode_mask
from rsmtdf_core.scenes.pixel_masks import ColorMasks, IndexMasks

from .conftest import make_manifest

NAMES = ("low", "high")


@given(
    st.dictionaries(st.integers(-5, 300), st.sampled_from(NAMES), min_size=1),
    st.sets(st.integers(-5, 300)),
)
def test_each_number_has_its_class(values, ignore):
    encoding = {"encoding": "indices", "values": values, "ignore": sorted(ignore)}
    raw = np.arange(-6, 302)[None]
    ids, unknown = encode_mask(raw, make_manifest(mask_encoding=encoding))
    for number, class_id in zip(raw[0].tolist(), ids[0].tolist(), strict=True):
        if number in values and number not in ignore:
            assert class_id == NAMES.index(values[number])
        else:
            assert class_id == 255
        assert (str(number) in unknown) == (number not in values and number not in ignore)


def test_listed_colors_replace_the_class_color():
    values = {"#ff0000": "low", "#00FF00": "low"}
    manifest = make_manifest(mask_encoding={"encoding": "colors", "values": values})
    colors = ["#FF0000", "#00FF00", "#102030", "#A0B0C0"]
    raw = np.array([[list(bytes.fromhex(color[1:])) for color in colors]], np.uint8)
    ids, unknown = encode_mask(raw, manifest)
    assert ids.tolist() == [[0, 0, 255, 1]]
    assert unknown == {"#102030": 1}


def test_merged_colors_are_matched_within_a_distance():
    encoding = {"encoding": "colors", "match": "nearest", "max_distance": 30}
    values = {"#FF0000": "low", "#00FF00": "high"}
    manifest = make_manifest(mask_encoding=encoding | {"values": values})
    raw = np.array([[[250, 9, 9], [9, 250, 9], [16, 32, 48]]], np.uint8)
    assert encode_mask(raw, manifest)[0].tolist() == [[0, 1, 255]]


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        (
            {"encoding": "indices", "values": {1: "lwo"}},
            "names no class: 'lwo', did you mean 'low'",
        ),
        ({"encoding": "indices", "values": {1: "low"}, "offset": 1}, "offset cannot be set"),
        ({"encoding": "indices", "values": {"a": "low"}}, "valid integer"),
        ({"encoding": "colors", "values": {1: "low"}}, "valid string"),
        ({"encoding": "colors", "values": {"#FF": "low"}}, "match pattern"),
        (
            {
                "encoding": "colors",
                "match": "threshold",
                "values": {"#808080": "low", "#000000": "high"},
            },
            "threshold cannot match #808080",
        ),
    ],
)
def test_values_that_cannot_be_meant_are_refused(encoding, message):
    with pytest.raises(ValidationError, match=message):
        make_manifest(mask_encoding=encoding)


def test_gray_masks_may_be_named_by_color(root):
    values = {"#010101": "low", "#020202": "high"}
    manifest = make_manifest(mask_encoding={"encoding": "colors", "values": values})
    assert check_dataset(manifest, root).problems == ()


def test_the_check_lists_numbers_that_are_not_listed(root):
    manifest = make_manifest(mask_encoding={"encoding": "indices", "values": {1: "high"}})
    result = check_dataset(manifest, root)
    assert {problem.what for problem in result.problems} == {"no class has 2 (24 px)"}


def test_manifests_survive_json_and_those_without_values_keep_their_digest():
    encoding = {"encoding": "indices", "values": {-1: "low", 7: "high"}}
    manifest = make_manifest(mask_encoding=encoding)
    assert Manifest.model_validate(manifest.model_dump(mode="json")) == manifest
    for plain in (IndexMasks(encoding="indices"), ColorMasks(encoding="colors")):
        assert "values" not in plain.model_dump(mode="json")
    dumped = IndexMasks(encoding="indices", offset=1, ignore=(0,)).model_dump(mode="json")
    assert fingerprint(dumped) == fingerprint({"encoding": "indices", "offset": 1, "ignore": [0]})
