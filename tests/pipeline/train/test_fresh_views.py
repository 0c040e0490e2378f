"""Fresh views train like a plan with as many views as the training uses, without their features."""

from multiprocessing import active_children

import numpy as np
import pytest
import torch

from pipeline.cache.plan import plan_cache
from pipeline.extract.producers import producers_of
from pipeline.extract.run import extract
from pipeline.plan import plan_experiment
from pipeline.train.features import find_features
from pipeline.train.run import train
from pipeline.train.setup import make_accelerator, make_training
from rsmtdf_core.errors import ConfigError, RunError, StoreError
from rsmtdf_core.runs.folder import open_run
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.store.ring import Ring
from rsmtdf_core.training import sources
from rsmtdf_core.training.sources import CachedPixels, RenderedPixels
from rsmtdf_core.views.records import PIXELS
from tests.pipeline.helpers import Messages

LABELED, UNLABELED = "views.labeled_views=fresh", "views.unlabeled_views=fresh"
WITHOUT_TEACHERS = "views.without_teachers=fresh"
# 16 steps of a few labeled scenes use fewer views than these of each scene.
MANY = ("views.labeled_views=20", "optimiser.epochs=4")
LOSSES = ("loss", "loss_x", "loss_u")


def losses(config, name):
    lines = open_run(train(config, config.runtime.runs / name).run).read_metrics()
    return [line for line in lines if "loss" in line]


def assert_alike(lines, others, names=LOSSES):
    assert len(lines) == len(others) > 4
    for name in names:
        values, expected = ([line[name] for line in run] for run in (lines, others))
        assert values == pytest.approx(expected, rel=1e-4, abs=1e-6), name


@pytest.mark.parametrize("method", ["fixmatch", "unimatch-v2"])
def test_without_teachers_all_views_may_be_fresh(make_config, method):
    method = f"objective.method={method}"
    few = losses(make_config(method, *MANY[1:]), "few")
    many = losses(make_config(method, *MANY, "views.unlabeled_views=4"), "many")
    fresh = losses(make_config(method, *MANY[1:], LABELED, UNLABELED), "fresh")
    assert_alike(fresh, many)
    assert [line["loss"] for line in fresh[:4]] != [line["loss"] for line in few[:4]]
    assert not (make_config().runtime.cache_folder).exists()


def test_supervised_training_needs_no_plan_of_views(make_config):
    settings = ("objective.method=supervised", "optimiser.epochs=4")
    config = make_config(*settings, LABELED, UNLABELED)
    assert len(plan_experiment(config).plan) == 0
    fresh, many = losses(config, "fresh"), losses(make_config(*settings, MANY[0]), "many")
    assert_alike(fresh, many, ["loss"])


def test_fresh_labeled_views_are_not_distilled_and_need_no_features(make_config):
    config = make_config(*MANY, LABELED)
    report = extract(config)
    plan = plan_experiment(config).plan
    assert report.views == len(plan) == 2 * len(plan.unlabeled_scenes)
    assert not ViewGroup.at(report.group).table["labeled"].any()
    messages = Messages()
    train(config, config.runtime.runs / "messages", reporter=messages)
    assert any("fresh labeled views, which are not distilled" in line for line in messages.lines)
    fresh = losses(config, "fresh")
    extract(make_config(*MANY))
    unlabeled = make_config(*MANY, "objective.distillation.samples=unlabeled")
    assert_alike(fresh, losses(unlabeled, "unlabeled"), [*LOSSES, "loss_distill"])


def test_teachers_in_the_loop_distill_fresh_views_of_all_scenes(make_config):
    online = ("objective.teachers=online", "optimiser.epochs=4")
    fresh = losses(make_config(*online, LABELED, UNLABELED), "fresh")
    many = losses(make_config(*online, MANY[0], "views.unlabeled_views=4"), "many")
    assert_alike(fresh, many, [*LOSSES, "loss_distill"])


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("sees", ["mixed", "weak"])
def test_fresh_labeled_views_join_cached_pixels(make_config, monkeypatch, sees, workers):
    settings = (LABELED, "objective.method=unimatch-v2", f"views.teacher_sees={sees}")
    cached = make_config(*settings, "runtime.cache_pixels=true", f"runtime.workers={workers}")
    extract(cached)
    before, loaders = set(active_children()), []

    def ring(*args, **kwargs):
        # The loader's processes are forked before the threads of the ring run.
        loaders.extend(set(active_children()) - before)
        return Ring(*args, **kwargs)

    monkeypatch.setattr(sources, "Ring", ring)

    def batches(config, source):
        accelerator = make_accelerator(config)
        experiment = plan_experiment(config)
        features = find_features(experiment, accelerator.device)
        training = make_training(experiment, features, accelerator)
        assert isinstance(training.pixels, source)
        with training.pixels.opened(0, training.total_steps) as opened:
            return [[batch.step, *(tensor.clone() for tensor in batch[3:])] for batch in opened]

    read, rendered = batches(cached, CachedPixels), batches(make_config(*settings), RenderedPixels)
    for loader in loaders:
        loader.join()
    assert [loader.exitcode for loader in loaders] == [0] * workers
    assert len(read) == len(rendered) == 8
    for (step, *tensors), (expected_step, *expected) in zip(read, rendered, strict=True):
        assert step == expected_step
        assert all(map(torch.equal, tensors, expected))
        assert all(tensor.is_contiguous() for tensor in tensors)


def test_labels_alone_do_not_need_the_cached_pixels(make_config):
    config = make_config("objective.method=supervised", LABELED, "runtime.cache_pixels=true")
    assert np.isfinite([line["loss"] for line in losses(config, "run")]).all()
    messages = Messages()
    with pytest.raises(ConfigError, match="names no teacher, and supervised reads no cached views"):
        extract(config.model_copy(update={"teachers": ()}))
    report = extract(config, reporter=messages)
    assert [store.teacher for store in report.stores] == ["vit", "cnn"], "no pixels"
    assert any("runtime.cache_pixels has no effect" in line for line in messages.lines)


@pytest.mark.parametrize(
    ("overrides", "read"),
    [
        (("objective.method=supervised",), True),
        (("objective.method=supervised", LABELED), False),
        (("objective.method=supervised", LABELED, "objective.pretrain.steps=2"), True),
        (("objective.method=fixmatch", LABELED), True),
        (("objective.method=fixmatch", WITHOUT_TEACHERS), False),
        (("objective.method=fixmatch", WITHOUT_TEACHERS, "objective.pretrain.steps=2"), True),
        (("objective.method=rs-mtdf", WITHOUT_TEACHERS), True),
        (("objective.method=distill", LABELED), True),
    ],
)
def test_pixels_are_extracted_if_and_only_if_a_phase_reads_them(make_config, overrides, read):
    config = make_config(*overrides, "runtime.cache_pixels=true")
    phases = [phase for phase in config.phases if phase.trains_from_cached_pixels]
    assert bool(phases) == config.trains_from_cached_pixels == read
    assert any(producer.name == PIXELS for producer in producers_of(config)) == read


def test_a_method_without_teachers_may_draw_fresh_views_in_a_config_with_numbers(make_config):
    settings = ("objective.method=fixmatch", "optimiser.epochs=3")
    config = make_config(*settings, WITHOUT_TEACHERS)
    messages = Messages()
    run = train(config, config.runtime.runs / "without", reporter=messages).run
    assert any("fresh labeled and unlabeled views" in line for line in messages.lines)
    fresh = losses(make_config(*settings, LABELED, UNLABELED), "fresh")
    assert_alike([line for line in open_run(run).read_metrics() if "loss" in line], fresh, LOSSES)
    with pytest.raises(RunError, match="without_teachers"):
        train(make_config(*settings), run, resume=True)
    with pytest.raises(ConfigError, match="fixmatch uses no teachers, and its views are fresh"):
        extract(config)


def test_a_mask_that_changes_while_its_views_are_fresh_is_noticed_later(
    make_config, scenes, tmp_path
):
    """The store keeps the digests of masks whose views it has."""
    import shutil

    from PIL import Image

    root = shutil.copytree(scenes, tmp_path / "copy")
    settings = (f"data.root={root}", "objective.method=fixmatch", "runtime.cache_pixels=true")
    extract(make_config(*settings))
    plan = plan_experiment(make_config(*settings)).plan
    mask = root / plan.scenes[plan.labeled_scenes[0]].mask
    with Image.open(mask) as image:
        image.transpose(Image.Transpose.ROTATE_180).save(mask)
    more = (*settings, LABELED, "views.unlabeled_views=3")
    extract(make_config(*more))
    train(make_config(*more))
    with pytest.raises(StoreError, match="the masks of 1 scenes"):
        train(make_config(*settings), tmp_path / "numbered")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((UNLABELED,), r"views.unlabeled_views: fresh .*rs-mtdf"),
        ((LABELED, "objective.distillation.samples=labeled"), r"views.labeled_views: fresh"),
        (
            (UNLABELED, "objective.method=fixmatch", "runtime.cache_pixels=true"),
            r"runtime.cache_pixels: fresh",
        ),
        (("views.labeled_views=often",), "views.labeled_views: expected 'fresh', found 'often'"),
        (("views.unlabeled_views=0",), "greater than or equal to 1, found 0"),
    ],
)
def test_settings_that_contradict_fresh_views_are_refused(make_config, overrides, message):
    with pytest.raises(ConfigError, match=message):
        make_config(*overrides)


@pytest.mark.parametrize("verb", [extract, plan_cache])
def test_fresh_views_have_no_features_to_extract(make_config, verb):
    online = make_config(UNLABELED, "objective.teachers=online")
    with pytest.raises(ConfigError, match="views of unlabeled scenes are fresh") as caught:
        verb(online)
    assert caught.value.where == "views.unlabeled_views"
    assert "--set views.unlabeled_views=4" in caught.value.remedy
    assert not online.runtime.cache_folder.exists()


def test_a_run_does_not_resume_with_planned_views(make_config):
    settings = ("objective.method=fixmatch", "optimiser.max_steps=2")
    run = train(make_config(*settings, LABELED)).run
    with pytest.raises(RunError, match="labeled_views"):
        train(make_config(*settings), run, resume=True)
