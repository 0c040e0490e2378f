"""Vectors are means of the tokens that show the scene itself, whatever the views show besides."""

from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.archive.vectors import on_one_scale, scene_vectors, shown_cells, view_vectors
from pipeline.reporter import Silent
from rsmtdf_core.views.settings import ViewSettings
from rsmtdf_core.views.view import VIEW_DTYPE, Box, Geometry, Photometric, to_record

PLAIN = Photometric((), 1, 1, 1, 0, False, 0)


def table_of(*views):
    """Views of 16 px: the scene, its resized size, and the box."""
    table = np.zeros(len(views), VIEW_DTYPE)
    for row, (scene, size, box) in enumerate(views):
        geometry = Geometry(*size, 0, 0, flip=False)
        partner = -1 if box is None else 1 - scene
        table[row] = to_record(scene, row, geometry, PLAIN, partner, box)
    return table


@pytest.fixture
def settings():
    return ViewSettings(crop=16)


class Tokens:
    """A reader of tokens [4, 4, 2]: the number of the cell, and the row."""

    shape = SimpleNamespace(teacher="vit", channels=2)

    def tokens(self, row):
        cells = np.arange(16, dtype=np.float32).reshape(4, 4)
        return np.dstack([cells, np.full((4, 4), row, np.float32)])


def test_padding_and_the_partners_box_do_not_count(settings):
    table = table_of(
        (0, (16, 16), None),
        (1, (8, 16), None),
        (0, (16, 16), Box(0, 0, 6, 16)),
        (1, (16, 16), Box(0, 0, 16, 16)),
    )
    means, counts = view_vectors(Tokens(), table, settings, Silent())
    assert counts.tolist() == [16, 8, 8, 0]
    cells = np.arange(16).reshape(4, 4)
    assert means[:, 0].tolist() == [cells.mean(), cells[:, :2].mean(), cells[:, 2:].mean(), 0]
    assert means[2, 1] == 2


def test_unmixed_views_show_the_scene_inside_the_box_too():
    table = table_of((0, (16, 16), Box(0, 0, 16, 16)))
    settings = ViewSettings(crop=16, teacher_sees="strong")
    assert view_vectors(Tokens(), table, settings, Silent())[1].tolist() == [16]


def test_a_flipped_view_has_its_padding_on_the_left(settings):
    geometry = Geometry(8, 16, 0, 0, flip=True)
    view = SimpleNamespace(geometry=geometry, box=None)
    assert shown_cells(view, settings, (4, 4)).tolist() == 4 * [[False, False, True, True]]


def test_a_scene_weighs_its_views_by_their_tokens():
    means = np.array([[1.0], [4.0], [7.0], [0.0]])
    vectors = scene_vectors(means, np.array([2, 1, 5, 0]), np.array([0, 0, 2, 1]), 3)
    assert vectors[:, 0].tolist() == [2.0, 0.0, 7.0]


def test_vectors_on_one_scale_have_a_mean_squared_length_of_one():
    random = np.random.default_rng(0)
    for factor in (1e-3, 1, 1e4):
        vectors = on_one_scale(factor * random.normal(3, 1, (50, 7)))
        assert vectors.mean(axis=0) == pytest.approx(np.zeros(7), abs=1e-12)
        assert np.square(vectors).sum(axis=1).mean() == pytest.approx(1)
    assert (on_one_scale(np.ones((4, 2))) == 0).all()
