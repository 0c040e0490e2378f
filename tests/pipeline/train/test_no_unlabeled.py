"""Training with all, or nearly all, scenes labeled."""

import pytest

from pipeline.extract.run import extract
from pipeline.train.run import train
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.kinds import METHODS

ALL = "data.labeled=1"


@pytest.mark.parametrize(
    "method", [name for name, kind in METHODS.items() if kind.strong_views and kind.trains_head]
)
def test_methods_that_need_unlabeled_scenes_refuse_before_anything_is_computed(make_config, method):
    config = make_config(ALL, f"objective.method={method}")
    for stage in (extract, train):
        with pytest.raises(ConfigError, match=f"{method} learns from unlabeled") as caught:
            stage(config)
        assert "data.labeled" in str(caught.value)
        assert not config.run_folder.exists()
        assert not config.runtime.cache_folder.exists()


def test_supervised_trains_on_labels_alone(make_config):
    report = train(make_config(ALL, "objective.method=supervised", "optimiser.epochs=1"))
    assert (report.steps, report.status) == (5, "finished")


def test_supervised_trains_with_fewer_unlabeled_scenes_than_a_batch(make_config):
    settings = ("data.labeled=1/2", "optimiser.epochs=2", "optimiser.batch=8")
    report = train(make_config(*settings, "objective.method=supervised"))
    assert (report.steps, report.status) == (2, "finished")
    with pytest.raises(ConfigError, match="found 5"):
        train(make_config(*settings, "objective.method=fixmatch"))


def test_distill_learns_from_labeled_scenes_alone(make_config):
    config = make_config(ALL, "objective.method=distill", "optimiser.epochs=1", "optimiser.batch=4")
    extract(config)
    report = train(config)
    assert (report.steps, report.status) == (2, "finished")
