"""A run's row shows its method, data and features."""

import pytest

from pipeline.runs.record import read_run
from pipeline.runs.summary import codec_label, summarize
from tests.pipeline.runs.written import lock_stores, write_run


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


def summary_of(folder):
    return summarize(read_run(folder), "a name")


def test_a_run_in_one_row(make_config, folder):
    config = make_config("objective.method=supervised", "seed=7", "data.labeled=1/2")
    write_run(folder, config, (0.25, 0.75), status="interrupted", steps=9, total=12)
    summary = summary_of(folder)
    assert (summary.run, summary.path) == ("a name", folder)
    assert (summary.method, summary.dataset) == ("supervised", "synthetic")
    assert (summary.labeled, summary.seed, summary.labeled_seed) == (0.5, 7, 0)
    assert (summary.status, summary.steps, summary.total) == ("interrupted", 9, 12)
    assert (summary.best_miou, summary.best_steps) == (0.75, 8)
    assert summary.weights == config.evaluation.weights
    assert summary.features.source == "none"
    assert summary.features.views is None


def test_a_run_that_was_not_validated_has_no_score(make_config, folder):
    write_run(folder, make_config("objective.method=supervised"))
    summary = summary_of(folder)
    assert summary.best_miou is summary.best_steps is None


def test_cached_features_are_named_by_teacher_codec_and_store(make_config, folder):
    run = write_run(folder, make_config(), status="running")
    before = summary_of(folder).features
    assert (before.source, before.teachers, before.views) == ("cached", ("vit", "cnn"), 2)
    assert before.codecs == ("fp16", "fp16")
    assert before.stores == ()
    lock_stores(run, pixels="views-0123456789abcdef/pixels-0123456789ab-uint8")
    after = summary_of(folder).features
    assert [store.split("/")[1].split("-")[0] for store in after.stores] == ["vit", "cnn"]
    assert after.pixels.endswith("uint8")


def test_online_teachers_have_no_store(make_config, folder):
    write_run(folder, make_config("objective.teachers=online"))
    features = summary_of(folder).features
    assert (features.source, features.teachers) == ("online", ("vit", "cnn"))
    assert features.codecs == features.stores == ()


@pytest.mark.parametrize(
    ("codec", "label"),
    [
        ({"name": "fp16", "format": 1}, "fp16"),
        ({"name": "transform", "format": 1, "quality": 0.99}, "transform-0.99"),
        ({}, "unknown"),
    ],
)
def test_codecs_are_labeled_as_in_names_of_stores(codec, label):
    assert codec_label(codec) == label
