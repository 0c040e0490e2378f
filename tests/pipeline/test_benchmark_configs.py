"""The configs of benchmarks: their recipes, the overrides in their comments, and the views that a training shows."""

import re
from collections import defaultdict

import pytest

from pipeline.cache.plan.plan_cache import plan_cache
from pipeline.config import load_config
from pipeline.data.prepare import BENCHMARKS
from pipeline.packaged import find_config
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.training.schedule import BatchSchedule
from rsmtdf_core.views.plan import drawing_fields, make_plan

NAMES = [name for benchmark in BENCHMARKS for name in (benchmark, f"{benchmark}-published")]
PUBLISHED = [name for name in NAMES if name.endswith("-published")]
EPOCHS = 60
UNLABELED = 64  # scenes, two of the published batches
WITHOUT_TEACHERS = ("supervised", "fixmatch", "unimatch-v2")


def commented(name):
    """The overrides in each line of a config's comments."""
    comments = [line for line in find_config(name).read_text().splitlines() if line.startswith("#")]
    return [
        sets for line in comments if (sets := tuple(re.findall(r"--set ([^ ,]+=[^ ,]+)", line)))
    ]


def shown(config):
    """How many different views and partners of each unlabeled scene a training shows, and views of a labeled one."""
    scenes = [Scene(f"s{i:02d}", f"{i}.png", None, 512, 512) for i in range(UNLABELED + 2)]
    plan = make_plan(scenes[:2], scenes[2:], config.views_in_force, seed=0)
    schedule = BatchSchedule(plan, batch=config.optimiser.batch, seed=0)
    views, partners, labeled = defaultdict(set), defaultdict(set), defaultdict(set)
    for step in range(EPOCHS * schedule.steps_per_epoch):
        rows = schedule.rows(step)
        for view in (plan[row] for row in rows.unlabeled.tolist()):
            views[view.scene].add(view.number)
            partners[view.scene].add(plan[view.partner].scene)
        for view in (plan[row] for row in rows.labeled.tolist()):
            labeled[view.scene].add(view.number)
    counts = [{len(numbers) for numbers in shown.values()} for shown in (views, labeled)]
    return (*counts, min(map(len, partners.values())))


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_config_has_the_published_recipe(name):
    config = load_config(name)
    benchmark = name.removesuffix("-published")
    assert config.name == name
    assert config.data.manifest in BENCHMARKS[benchmark].manifests
    optimiser = config.optimiser
    assert (optimiser.lr, optimiser.multiplier, optimiser.ema) == (5e-6, 40, 0.996)
    assert (optimiser.epochs, optimiser.lr_delay, config.views.crop) == (EPOCHS, 1, 518)
    assert config.views.scale == (0.5, 2)
    assert config.evaluation.inference.mode == "whole"
    assert [teacher.name for teacher in config.distilled] == ["dino", "clip"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_config_differs_only_in_the_views_of_teachers(name):
    config = load_config(name)
    assert config.optimiser.batch == 32
    assert (config.runtime.precision, config.evaluation.weights) == ("fp32", "student")
    assert {teacher.precision for teacher in config.teachers} == {"fp32"}
    assert config.views.labeled_views == "fresh"


@pytest.mark.parametrize("name", NAMES)
def test_overrides_in_the_comments_are_valid_and_show_new_views(name):
    overrides = commented(name)
    assert any(sets[0].startswith("objective.method=fixmatch") for sets in overrides)
    for sets in overrides:
        views = load_config(name, sets).views_in_force
        if any("unlabeled_views" in key or "fixmatch" in key for key in sets):
            assert (views.unlabeled_views, views.labeled_views) == ("fresh", "fresh")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", WITHOUT_TEACHERS)
def test_methods_without_teachers_draw_fresh_views_and_plan_no_cache(name, method):
    config = load_config(name, [f"objective.method={method}"])
    uses = EPOCHS * UNLABELED // 2  # of each of the two labeled scenes
    views, labeled, _ = shown(config)
    assert (views, labeled) == ({EPOCHS}, {uses})
    assert not config.distilled
    with pytest.raises(ConfigError, match="no cache is needed"):
        plan_cache(config)
    planned = load_config(name, [f"objective.method={method}", "views.without_teachers=planned"])
    assert planned.views_in_force.unlabeled_views == 16


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "sets", [(), ("objective.method=supervised", "objective.pretrain.steps=5")]
)
def test_with_teachers_the_views_and_their_addresses_are_those_without_the_key(name, sets):
    config, plain = (
        load_config(name, [*sets, *more]) for more in ((), ("views.without_teachers=planned",))
    )
    assert config.views_in_force == plain.views
    for phase in config.phases:
        assert phase.views_in_force == plain.views
    drawing = drawing_fields(load_config(name, ["objective.method=fixmatch"]).views_in_force, 0)
    assert drawing == drawing_fields(plain.views, 0), "all methods share the draws of a view"


def test_the_views_of_a_training_are_as_many_as_the_comments_claim():
    views, labeled, partners = shown(load_config("loveda", ["optimiser.batch=8"]))
    assert (views, labeled) == ({16}, {64})
    assert partners >= 10
    uses = EPOCHS * UNLABELED // 2  # of each of the two labeled scenes
    views, labeled, _ = shown(load_config("loveda-published"))
    assert (views, labeled) == ({16}, {uses})
    for more in ("views.unlabeled_views=60", "objective.method=fixmatch"):
        views, labeled, partners = shown(load_config("loveda-published", [more]))
        assert (views, labeled) == ({EPOCHS}, {uses})
        assert partners >= 30
