"""Several extractions in one cache at once: one waits or both share the work, never a wrong byte."""

import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import load_config
from pipeline.demo.scenes import draw_scenes
from pipeline.extract.run import _planned
from pipeline.plan import plan_experiment
from rsmtdf_core.cache.creation import create_store
from rsmtdf_core.cache.group import grow_group
from rsmtdf_core.codecs import declare_codec
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.store.writing import write_block
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.views.plan import ViewPlan
from tests.reliability import harness

SMALL, GROWN = harness.Job(views=1), harness.Job(views=2, scenes=8)


def _task(cache: Path, job) -> dict[str, object]:
    return {"cache": cache, "job": asdict(job)}


def _alone(folder: Path, *jobs) -> dict[str, bytes]:
    for job in jobs:
        harness.extract(folder, job)
    return harness.final_files(folder)


@pytest.mark.parametrize("before", [None, SMALL, harness.Job(views=2, scenes=8, blocks=2)])
def test_two_extractions_of_one_store_give_the_same_as_one(run, tmp_path, before) -> None:
    start = tmp_path / "start"
    start.mkdir()
    if before is not None:
        harness.extract(start, before)
    whole = _alone(shutil.copytree(start, tmp_path / "alone"), GROWN)
    pairs = 6
    for pair in range(pairs):
        cache = shutil.copytree(start, tmp_path / f"pair{pair}")
        assert run(_task(cache, GROWN), _task(cache, GROWN)) == [0, 0]
        assert harness.final_files(cache) == whole
        assert harness.read_all(cache, GROWN) == 16
        assert not harness.leftovers(cache)
    print(f"{pairs} pairs of extractions")


def _different(run, folder: Path, turns: int) -> int:
    """Other views, scenes, roles, teachers and codecs at once; how many extractions ran."""
    jobs = [
        SMALL,
        GROWN,
        harness.Job(views=3),
        harness.Job(views=2, labeled=4),
        harness.Job(views=2, scenes=9, teacher="other"),
        harness.Job(views=2, codec="int8"),
    ]
    for turn in range(turns):
        cache = folder / f"turn{turn}"
        chosen = [jobs[(turn + at) % len(jobs)] for at in range(4)]
        assert run(*(_task(cache, job) for job in chosen)) == [0] * 4
        for job in chosen:
            assert harness.read_all(cache, job)
    return 4 * turns


def test_extractions_that_want_other_things_do_not_disturb_each_other(run, tmp_path) -> None:
    count = _different(run, tmp_path, turns=6)
    print(f"{count} extractions, four at a time")
    assert count == 24


@pytest.mark.reliability
def test_hundreds_of_extractions_do_not_disturb_each_other(run, tmp_path) -> None:
    count = _different(run, tmp_path, turns=100)
    print(f"{count} extractions, four at a time")
    assert count == 400


_CONFIG = """
name: tiny
data: {manifest: synthetic, root: SCENES, labeled: 1/4}
views: {crop: 64, scale: [0.6, 1.2], unlabeled_views: 2, labeled_views: 2}
teachers: [{name: vit, family: timm, model: test_vit, weights: random, input_size: 80}]
student: {encoder: test_efficientnet, weights: random, translator_hidden: 16}
evaluation: {inference: {mode: slide, window: 64, overlap: 0, batch: 4}}
runtime: {device: cpu, workers: 0, teacher_batch: 1, cache_pixels: true}
"""


@pytest.mark.reliability
def test_two_whole_extractions_give_the_same_as_one(run_pipeline, tmp_path) -> None:
    draw_scenes(tmp_path / "scenes", 8, 72, seed=3)
    file = tmp_path / "tiny.yaml"
    file.write_text(_CONFIG.replace("SCENES", str(tmp_path / "scenes")))
    assert run_pipeline({"config": [file, f"runtime.cache={tmp_path / 'alone'}"]}) == [0]
    whole = harness.final_files(tmp_path / "alone")
    for pair in range(5):
        task = {"config": [file, f"runtime.cache={tmp_path / f'pair{pair}'}"]}
        assert run_pipeline(task, task) == [0, 0]
        assert harness.final_files(tmp_path / f"pair{pair}") == whole


@pytest.mark.parametrize("seed", [11, 12, 15])
def test_a_plan_stays_though_others_draw_pairs_meanwhile(tmp_path, monkeypatch, seed) -> None:
    """Their plans were drawn of the same empty cache, and each grows the group just before this one."""
    draw_scenes(tmp_path / "scenes", 20, 72, seed=3)
    file = tmp_path / "tiny.yaml"
    file.write_text(_CONFIG.replace("SCENES", str(tmp_path / "scenes")))
    cache = f"runtime.cache={tmp_path / 'cache'}"
    others = [
        plan_experiment(load_config(str(file), [cache, f"data.labeled_seed={10 * seed + other}"]))
        for other in range(1, 5)
    ]
    real = grow_group

    def grow(folder: Path, plan: ViewPlan) -> ViewGroup:
        if others:
            real(folder, others.pop().plan)
        return real(folder, plan)

    monkeypatch.setattr("pipeline.extract.run.grow_group", grow)
    config = load_config(str(file), [cache])
    experiment, group = _planned(config)
    while others:
        grow(config.runtime.cache_folder, experiment.plan)
    assert plan_experiment(config).plan.fingerprint == experiment.plan.fingerprint
    assert len(group.rows(experiment.plan)) == len(experiment.plan)


def test_crops_entered_while_the_group_grows_stay(tmp_path, monkeypatch) -> None:
    """Who enters crops read them before another grew the table."""
    store = harness.extract(tmp_path, SMALL)
    rows = np.arange(3)
    real = ViewGroup._written

    def grown(group: ViewGroup, before: int) -> ViewGroup:
        # The table is being written: nobody else may hold the group now.
        from rsmtdf_core.store.locks import is_locked

        assert is_locked(group.path)
        return real(group, before)

    monkeypatch.setattr(ViewGroup, "_written", grown)
    crops = store.group.crops(rows).tolist()
    group = grow_group(tmp_path, harness.draw(tmp_path, GROWN))
    assert len(group.table) > len(store.group.table)
    assert group.crops(rows).tolist() == crops


def test_a_store_that_was_grown_further_is_not_made_shorter(tmp_path) -> None:
    """Two extractions opened it before either grew it."""
    harness.extract(tmp_path, SMALL)
    large, small = harness.Job(views=3, scenes=9), harness.Job(views=1, scenes=8)
    group = grow_group(tmp_path, harness.draw(tmp_path, small))
    early = FeatureStore.open(harness.extract(tmp_path, SMALL).path, group)
    harness.extract(tmp_path, large)
    rows = FeatureStore.open(early.path, ViewGroup.at(group.path)).metadata.rows
    assert early.grown_to(len(group.table)).metadata.rows == rows > len(group.table)
    assert harness.read_all(tmp_path, large)


def test_a_group_that_was_read_before_the_store_grew_is_read_again(tmp_path) -> None:
    store = harness.extract(tmp_path, SMALL)
    harness.extract(tmp_path, GROWN)
    later = create_store(
        store.group,
        SMALL.identity,
        TokenShape(SMALL.teacher, *harness.GRID),
        declare_codec(SMALL.codec),
        lambda: pytest.fail("it is there already"),
    )
    assert len(later.group.table) > len(store.group.table)
    assert later.require(harness.draw(tmp_path, SMALL)).tolist() == list(range(7))


def test_records_are_read_while_their_shard_gains_others(tmp_path) -> None:
    """Another teacher's plan had more views in that shard; who adds them is killed before the ledger."""
    harness.extract(tmp_path, harness.Job(views=2, teacher="other"))
    store = harness.extract(tmp_path, SMALL)
    plan = harness.draw(tmp_path, SMALL)
    reader = FeatureReader(store, store.require(plan))
    capacity, before = store.metadata.shard_records, store.shard_path(1).read_bytes()
    write_block(
        store.path, range(capacity, 2 * capacity), iter([None] * 3 + [np.ones(harness.GRID, "f4")])
    )
    assert store.shard_path(1).read_bytes() != before
    for row in range(len(plan)):
        reader.tokens(row)
    assert harness.read_all(tmp_path, SMALL) == len(plan)
    assert store.verify() == ()
