"""Fingerprints depend on values alone; differences name each field in which two values differ."""

import hashlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.fingerprints import canonical_json, differences, file_sha256, fingerprint

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def reversed_keys(value):
    """The same JSON value, with the keys of its objects in reverse order."""
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


@given(VALUES)
def test_the_order_of_keys_changes_no_fingerprint(value):
    assert canonical_json(reversed_keys(value)) == canonical_json(value)
    assert fingerprint(reversed_keys(value)) == fingerprint(value)
    assert json.loads(canonical_json(value)) == value


@given(VALUES, VALUES)
def test_two_values_share_a_fingerprint_only_if_they_share_their_json(first, second):
    same = canonical_json(first) == canonical_json(second)
    assert (fingerprint(first) == fingerprint(second)) == same


def test_canonical_json_is_the_same_bytes_in_every_version():
    value = {"b": [1, 2.5, None], "a": {"z": True, "y": "\u00e9"}}
    assert canonical_json(value) == b'{"a":{"y":"\\u00e9","z":true},"b":[1,2.5,null]}'
    assert fingerprint({}) == hashlib.sha256(b"{}").hexdigest()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_have_are_refused(number):
    with pytest.raises(ValueError, match="JSON"):
        fingerprint({"loss": number})


@given(st.binary(max_size=300))
def test_a_files_digest_is_that_of_its_bytes(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("digests") / "file"
    path.write_bytes(content)
    assert file_sha256(path) == hashlib.sha256(content).hexdigest()


@given(VALUES)
def test_a_value_does_not_differ_from_itself(value):
    assert list(differences(value, reversed_keys(value))) == []


@given(st.dictionaries(st.text(min_size=1), SCALARS, min_size=1, max_size=5), st.data())
def test_each_changed_field_is_named_once(value, data):
    names = data.draw(st.lists(st.sampled_from(sorted(value)), unique=True))
    changed = {name: "changed" if name in names else field for name, field in value.items()}
    lines = list(differences({"outer": value}, {"outer": changed}))
    assert len(lines) == len(names)
    for line, name in zip(lines, sorted(names), strict=True):
        assert line.startswith(f"outer.{name}: expected {json.dumps(value[name])}, found changed")


def test_absent_fields_and_long_values_are_shown_briefly():
    assert list(differences({"a": 1}, {"b": 2})) == [
        "a: expected 1, found (absent)",
        "b: expected (absent), found 2",
    ]
    assert list(differences("x" * 100, 0)) == [f"value: expected {'x' * 77}..., found 0"]
