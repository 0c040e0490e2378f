import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.views.draws import KeyedDraws
from rsmtdf_core.views.geometric import draw_box, draw_geometry, draw_orientation
from rsmtdf_core.views.settings import CutMixSettings, ViewSettings
from rsmtdf_core.views.view import Geometry

CROP = 56


@given(
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    scale=st.tuples(st.floats(0.05, 1.0), st.floats(1.0, 3.0)),
    seed=st.integers(0, 10**6),
)
def test_a_crop_is_inside_the_resized_and_padded_scene(width, height, scale, seed):
    settings = ViewSettings(crop=CROP, scale=scale)
    cut = draw_geometry(settings, width, height, KeyedDraws(seed))
    long, new_long = max(width, height), max(cut.width, cut.height)
    assert max(1, int(long * scale[0])) <= new_long <= max(1, int(long * scale[1]))
    assert (cut.width >= cut.height) if width >= height else (cut.width <= cut.height)
    short = min(width, height) * new_long / long
    assert abs(min(cut.width, cut.height) - max(1.0, short)) <= 0.5 + 1e-9
    assert 0 <= cut.left <= max(0, cut.width - CROP)
    assert 0 <= cut.top <= max(0, cut.height - CROP)


def test_long_sides_and_places_are_uniform_and_half_the_views_are_mirrored():
    settings = ViewSettings(crop=50)
    cuts = [draw_geometry(settings, 100, 40, KeyedDraws(seed)) for seed in range(3000)]
    widths = np.array([cut.width for cut in cuts])
    assert (widths.min(), widths.max()) == (50, 200)
    assert np.histogram(widths, bins=5, range=(50, 201))[0] == pytest.approx(600, rel=0.2)
    assert {cut.top for cut in cuts if cut.height <= 50} == {0}
    positions = [cut.left / (cut.width - 50) for cut in cuts if cut.width > 100]
    assert np.mean(positions) == pytest.approx(0.5, abs=0.03)
    assert 0.46 < np.mean([cut.flip for cut in cuts]) < 0.54


def test_the_short_side_is_rounded_as_the_reference_does():
    settings = ViewSettings(crop=14, scale=(0.5, 0.5))
    assert draw_geometry(settings, 10, 5, KeyedDraws(0)).height == 3  # 2.5 + 0.5, not banker's 2
    assert draw_geometry(settings, 5, 11, KeyedDraws(0)).height == 5  # int(5.5)


def orientations(vertical_flip, quarter_turns, count=4000):
    settings = ViewSettings(vertical_flip=vertical_flip, quarter_turns=quarter_turns)
    plain = Geometry(100, 80, 3, 4, flip=True)
    views = [draw_orientation(settings, plain, KeyedDraws(seed)) for seed in range(count)]
    assert {replace(view, vertical_flip=False, quarter_turns=0) for view in views} == {plain}
    shares = Counter((view.vertical_flip, view.quarter_turns) for view in views)
    return {orientation: number / count for orientation, number in shares.items()}


def test_the_eight_orientations_are_equally_frequent():
    shares = orientations(0.5, 1.0)
    assert len(shares) == 8
    assert list(shares.values()) == pytest.approx([1 / 8] * 8, abs=0.025)


def test_the_shares_of_flips_and_turns_follow_their_probabilities():
    assert orientations(0.0, 0.0, 50) == {(False, 0): 1.0}
    assert orientations(1.0, 0.0, 50) == {(True, 0): 1.0}
    assert orientations(0.3, 0.0)[True, 0] == pytest.approx(0.3, abs=0.03)
    turned = orientations(0.0, 0.4)
    assert [turned[False, turns] for turns in range(4)] == pytest.approx(
        [0.7, 0.1, 0.1, 0.1], abs=0.03
    )


@pytest.fixture(scope="module")
def boxes():
    return [draw_box(CutMixSettings(), 518, KeyedDraws(seed)) for seed in range(3000)]


def test_half_of_the_views_have_a_box(boxes):
    assert 0.46 < np.mean([box is not None for box in boxes]) < 0.54


def test_boxes_are_inside_the_crop_and_keep_the_ranges_of_area_and_aspect(boxes):
    drawn = [box for box in boxes if box]
    assert all(box.left >= 0 and box.left + box.width <= 518 for box in drawn)
    assert all(box.top >= 0 and box.top + box.height <= 518 for box in drawn)
    for (
        box
    ) in drawn:  # sides were truncated to integers, so the drawn sides are less than 1 px longer
        assert (box.width + 1) * (box.height + 1) >= 0.02 * 518**2
        assert box.width * box.height <= 0.4 * 518**2
        assert (box.height + 1) / box.width >= 0.3
        assert box.height / (box.width + 1) <= 1 / 0.3


def test_areas_are_uniform_because_only_aspect_and_position_are_redrawn(boxes):
    areas = np.array([box.width * box.height / 518**2 for box in boxes if box])
    quarters = np.histogram(areas, bins=4, range=(0.02, 0.4))[0] / len(areas)
    assert quarters == pytest.approx(0.25, abs=0.05)


def test_a_small_box_still_has_a_pixel():
    settings = CutMixSettings(p=1.0, area=(1e-6, 1e-6))
    box = draw_box(settings, 14, KeyedDraws(0))
    assert (box.width, box.height) == (1, 1)


def test_the_sides_follow_from_area_and_aspect():
    box = draw_box(CutMixSettings(p=1.0, area=(0.25, 0.25), aspect=(2.0, 2.0)), 100, KeyedDraws(0))
    assert (box.width, box.height) == (int(math.sqrt(1250)), int(math.sqrt(5000)))
