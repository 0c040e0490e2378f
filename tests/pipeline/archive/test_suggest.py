"""Suggestions are unlabeled scenes, far from the labeled ones by their cached tokens, and the same each time."""

import csv

import numpy as np
import pytest
from PIL import Image

from pipeline.archive.suggest import suggest
from pipeline.extract.run import extract
from pipeline.plan import plan_experiment
from rsmtdf_core.errors import ConfigError, DataError, StoreError
from rsmtdf_core.teachers.teacher import live_teachers


@pytest.fixture
def extracted(make_config):
    """The small experiment's config maker, with its features in the cache."""
    extract(make_config())
    return make_config


def test_unlabeled_scenes_are_suggested_with_a_list_and_a_sheet(extracted, tmp_path):
    config = extracted()
    report = suggest(config, 4, tmp_path / "out")
    plan = plan_experiment(config).plan
    labeled = {plan.scenes[index].id for index in plan.labeled_scenes}
    names = [scene.scene for scene in report.scenes]
    assert len(set(names)) == 4
    assert not labeled & set(names)
    assert report.scenes[0].nearest in labeled
    assert all(scene.has_mask for scene in report.scenes), "drawn scenes all have masks"
    gaps = [scene.distance for scene in report.scenes]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] > 0
    assert report.teachers == report.random_teachers == ("vit", "cnn")
    assert live_teachers() == 0
    with (tmp_path / "out/suggestions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["scene"] for row in rows] == names
    with Image.open(tmp_path / "out/suggestions.png") as picture:
        assert len(np.unique(np.asarray(picture.convert("L")))) > 50, "pictures of the scenes"
    assert suggest(config, 4, None).scenes == report.scenes
    more = suggest(config, 1000, None)
    assert [scene.scene for scene in more.scenes][:4] == names
    assert len(more.scenes) == more.candidates == len(plan.unlabeled_scenes)


def test_a_method_without_teachers_reads_all_and_a_named_one_is_enough(extracted):
    assert suggest(extracted("objective.method=fixmatch"), 2, None).teachers == ("vit", "cnn")
    assert suggest(extracted(), 2, None, ["cnn"]).teachers == ("cnn",)


def test_errors_name_the_teachers_the_cache_and_the_labels(make_config):
    with pytest.raises(ConfigError, match="no teacher is named vti, did you mean 'vit'") as caught:
        suggest(make_config(), 2, None, ["vti"])
    assert "vit, cnn" in caught.value.remedy
    with pytest.raises(StoreError) as missing:
        suggest(make_config(), 2, None)
    assert "extract-features" in missing.value.remedy
    with pytest.raises(ConfigError, match="no teachers"):
        suggest(make_config("objective.method=supervised", "teachers=[]"), 2, None)
    with pytest.raises(DataError, match="all 10 training scenes are labeled"):
        suggest(make_config("objective.method=supervised", "data.labeled=1"), 2, None)


def test_scenes_without_cached_tokens_are_refused(make_config):
    config = make_config("views.labeled_views=fresh", "objective.distillation.samples=unlabeled")
    extract(config)
    with pytest.raises(DataError, match="have no cached tokens") as caught:
        suggest(config, 2, None)
    assert "views.labeled_views=1" in caught.value.remedy
