"""A record holds the pixels of its view: the weak view, and its mask or the view that the student sees."""

import numpy as np
import pytest

from rsmtdf_core.views.plan import make_plan
from rsmtdf_core.views.records import pixel_bands, pixel_channels, pixel_record
from rsmtdf_core.views.render import ViewRenderer
from rsmtdf_core.views.settings import ViewSettings

SEES = ["weak", "strong", "mixed"]


@pytest.fixture(params=SEES)
def renderer(request, reader, make_scenes):
    settings = ViewSettings(crop=42, teacher_sees=request.param)
    plan = make_plan(make_scenes(2, prefix="l"), make_scenes(4, prefix="u"), settings, seed=0)
    return ViewRenderer(reader, plan)


@pytest.mark.parametrize("sees", SEES)
@pytest.mark.parametrize("bands", [1, 3, 7])
def test_bands_follow_from_channels(sees, bands):
    settings = ViewSettings(crop=42, teacher_sees=sees)
    assert pixel_bands(settings, pixel_channels(settings, bands)) == bands


def test_a_record_starts_with_the_weak_view(renderer):
    for row in range(len(renderer.plan)):
        record = pixel_record(renderer, row)
        assert record.dtype == np.uint8
        assert record.shape == (42, 42, pixel_channels(renderer.plan.settings, 3))
        assert np.array_equal(record[..., :3], renderer.weak(row))


def test_a_labeled_view_has_its_mask_and_an_unlabeled_one_the_teachers_input(renderer):
    sees = renderer.plan.settings.teacher_sees
    for row in range(len(renderer.plan)):
        rest = pixel_record(renderer, row)[..., 3:]
        if renderer.plan[row].labeled:
            assert np.array_equal(rest[..., 0], renderer.mask(row))
            assert not rest[..., 1:].any()
        elif sees == "weak":
            assert not rest.any()
        else:
            assert np.array_equal(rest, renderer.taught_view(row))
