"""Heads are scored on pixels that they have not seen."""

import numpy as np
import pytest

from pipeline.probe.sample import sample_views
from pipeline.probe.scoring import Scoring
from pipeline.probe.sources import Source
from pipeline.reporter import Silent
from rsmtdf_core.errors import DataError
from rsmtdf_core.probing.cells import class_shares
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.views.render import ViewRenderer

GRID = (8, 8)


class Planted:
    """The class shares of the grid's cells, or anything made from them."""

    def __init__(self, renderer, change=lambda shares, row: shares):
        self.renderer, self.change = renderer, change

    def tokens(self, row):
        manifest = self.renderer.reader.dataset.manifest
        classes = len(manifest.classes)
        shares, _ = class_shares(self.renderer.mask(row), GRID, classes, manifest.ignore_id)
        return self.change(shares.reshape(*GRID, classes), row)


@pytest.fixture
def sample(make_config):
    return sample_views(make_config("data.labeled=1"), "train", 10, None)


@pytest.fixture
def renderer(sample):
    return ViewRenderer(SceneReader(sample.experiment.dataset), sample.experiment.plan)


def source(features, kind="teacher", name="planted"):
    classes = features.tokens(0).shape[-1]
    return Source(name, kind, features, classes, random_weights=False)


def test_shares_are_read_off_up_to_the_grid(sample, renderer):
    teacher = source(Planted(renderer))
    scoring = Scoring(sample, renderer, GRID, [teacher], [])
    [planted] = scoring.run(Silent())
    assert planted.overall_accuracy > 0.8
    assert len(planted.fold_miou) == len(sample.scenes)
    assert planted.over_student is None


def test_a_feature_that_names_the_scene_does_not_help(sample, renderer):
    """A head that saw the held-out scenes could learn their classes by heart."""

    def named(shares, row):
        names = np.zeros((*GRID, 16), np.float32)
        names[..., sample.experiment.plan[row].scene] = 1
        return names

    student = source(Planted(renderer), "student", "student")
    scoring = Scoring(sample, renderer, GRID, [source(Planted(renderer, named))], [student])
    memory, planted = scoring.run(Silent())
    assert memory.miou < 0.3
    assert memory.over_student is not None
    assert memory.over_student < 0
    assert planted.over_student is None


def test_views_without_labeled_pixels_are_no_fold(sample, renderer, monkeypatch):
    masks = {row: renderer.mask(row).copy() for row in range(10)}
    silent = {row for row, fold in enumerate(sample.folds.tolist()) if fold > 0}
    for row in silent:
        masks[row][:] = sample.experiment.dataset.manifest.ignore_id
    monkeypatch.setattr(renderer, "mask", masks.__getitem__)
    with pytest.raises(DataError, match="labeled pixels"):
        Scoring(sample, renderer, GRID, [source(Planted(renderer))], []).run(Silent())
    second = next(row for row in silent if sample.folds[row] == 1)
    masks[second][:] = 0
    [planted] = Scoring(sample, renderer, GRID, [source(Planted(renderer))], []).run(Silent())
    assert [miou is None for miou in planted.fold_miou] == [False, False, True, True, True]
