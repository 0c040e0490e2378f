"""A view is a record of fixed size, from which the same view comes back."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rsmtdf_core.views.view import (
    NO_JITTER,
    VIEW_DTYPE,
    Box,
    Geometry,
    Photometric,
    from_record,
    to_record,
    view_dtype,
)

SIDES = st.integers(0, 2**31 - 1)
FACTORS = st.floats(allow_nan=False)
GEOMETRIES = st.builds(Geometry, SIDES, SIDES, SIDES, SIDES, st.booleans())
CHANGES = st.builds(
    Photometric,
    st.just(()) | st.permutations(range(4)).map(tuple),
    FACTORS,
    FACTORS,
    FACTORS,
    FACTORS,
    st.booleans(),
    FACTORS,
)
BOXES = st.none() | st.builds(Box, SIDES, SIDES, st.integers(1, 2**31 - 1), SIDES)


@example(
    0, 0, Geometry(1, 1, 0, 0, flip=False), NO_JITTER, Box(1, 2, 3, 0)
)  # the width alone decides
@given(SIDES, SIDES, GEOMETRIES, st.none() | CHANGES, BOXES)
def test_every_number_of_a_view_comes_back_exactly(scene, number, geometry, change, box):
    table = np.array([to_record(scene, number, geometry, change, -1, box)], VIEW_DTYPE)
    view = from_record(table[0], row=5, partner=6)
    assert (view.scene, view.number, view.row, view.partner) == (scene, number, 5, 6)
    assert view.geometry == geometry
    assert view.photometric == change
    assert view.labeled == (change is None)
    assert view.box == box
    assert table["partner_scene"][0] == -1


ORIENTED = st.builds(
    Geometry, SIDES, SIDES, SIDES, SIDES, st.booleans(), st.booleans(), st.integers(0, 3)
)


@given(ORIENTED, st.sets(st.sampled_from(["vertical_flip", "quarter_turns", "flip"])))
def test_a_table_has_the_fields_of_the_settings_that_are_on(geometry, on):
    dtype = view_dtype(dict.fromkeys(on, 0.5))
    added = [name for name in ("vertical_flip", "quarter_turns") if name in on]
    assert dtype.names == (*VIEW_DTYPE.names, *added)
    off = dict.fromkeys({"vertical_flip", "quarter_turns"} - on, 0)
    geometry = replace(geometry, **off)
    table = np.array([to_record(0, 0, geometry, None, -1, None, dtype)], dtype)
    assert from_record(table[0], row=0, partner=-1).geometry == geometry
    if not added:
        assert dtype == VIEW_DTYPE


@pytest.mark.parametrize("setting", [{"vertical_flip": True}, {"quarter_turns": 2}])
def test_an_orientation_is_never_lost_to_a_table_without_its_field(setting):
    geometry = Geometry(1, 1, 0, 0, flip=False, **setting)
    with pytest.raises(AssertionError):
        to_record(0, 0, geometry, None, -1, None)


def test_labeled_views_are_stored_with_neutral_factors():
    geometry = Geometry(1, 2, 3, 4, flip=True)
    labeled = np.array([to_record(0, 0, geometry, None, -1, None)], VIEW_DTYPE)
    neutral = np.array([to_record(0, 0, geometry, NO_JITTER, -1, None)], VIEW_DTYPE)
    for name in set(VIEW_DTYPE.names) - {"labeled"}:
        assert np.array_equal(labeled[name], neutral[name]), name
    assert labeled["order"].tolist() == [[-1] * 4]
    assert labeled["box"].tolist() == [[0] * 4]


def test_the_record_keeps_its_size_and_byte_order():
    """Groups on disk hold this dtype."""
    assert VIEW_DTYPE.itemsize == 91
    assert VIEW_DTYPE.newbyteorder("<") == VIEW_DTYPE
    assert not VIEW_DTYPE.isalignedstruct


def test_views_never_change():
    view = from_record(np.zeros(1, VIEW_DTYPE)[0], 0, 0)
    with pytest.raises(AttributeError):
        view.row = 3
