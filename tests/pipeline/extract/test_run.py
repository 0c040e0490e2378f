import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr

import pipeline.extract.cluster
import pipeline.extract.producer
import pipeline.extract.run
import pipeline.extract.tokens
from pipeline.config import ExperimentConfig
from pipeline.extract.run import extract
from pipeline.plan import plan_experiment
from rsmtdf_core.cache.find import find_store
from rsmtdf_core.cache.group import require_group
from rsmtdf_core.errors import StoreMismatchError
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.store.commit import COMMIT
from rsmtdf_core.store.copies import copy_of
from rsmtdf_core.store.group import CROPS, ViewGroup
from rsmtdf_core.store.ledger import LEDGER
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.tables import write_table
from rsmtdf_core.teachers.teacher import (
    declared_identity,
    load_teacher,
)
from rsmtdf_core.views.render import ViewRenderer, crop_crc


def _files(cache: Path) -> dict[str, bytes]:
    """Everything that must not depend on how an extraction went."""
    kept = ("zarr.json", "views.npy", "crops.npy")
    return {
        str(path.relative_to(cache)): path.read_bytes()
        for path in sorted(cache.rglob("*"))
        if path.is_file() and (path.name in kept or "c" in path.parts)
    }


def test_every_record_is_the_teachers_output_for_the_view(make_config):
    config = make_config()
    report = extract(config)
    assert (report.rendered, report.views) == (20, 20)
    assert [(entry.teacher, entry.views, entry.new) for entry in report.stores] == [
        ("vit", 20, 20),
        ("cnn", 20, 20),
    ]
    experiment = plan_experiment(config)
    renderer = ViewRenderer(SceneReader(experiment.dataset), experiment.plan)
    for settings in config.teachers:
        identity = declared_identity(settings, config.views.crop)
        store = find_store(
            config.runtime.cache_folder, experiment.plan, identity, settings.declared_codec
        )
        reader = FeatureReader(store, store.require(experiment.plan))
        teacher = load_teacher(settings, config.views.crop)
        for row in (0, 7, 19):
            view = np.stack([renderer.taught_view(row)]).transpose(0, 3, 1, 2)
            expected = teacher.tokens(torch.from_numpy(view.copy()))[0].numpy()
            np.testing.assert_allclose(reader.tokens(row), expected, rtol=1e-2, atol=1e-3)


def test_zarr_opens_a_store_and_reads_the_same_numbers(make_config):
    config = make_config()
    report = extract(config)
    experiment = plan_experiment(config)
    for settings, entry in zip(config.teachers, report.stores, strict=True):
        identity = declared_identity(settings, config.views.crop)
        store = find_store(
            config.runtime.cache_folder, experiment.plan, identity, settings.declared_codec
        )
        rows = store.require(experiment.plan)
        array = zarr.open_array(entry.path, mode="r")
        assert np.array_equal(
            array[rows[5]].astype(np.float32), FeatureReader(store, rows).tokens(5)
        )


def test_a_complete_extraction_is_found_without_loading_a_teacher(make_config, monkeypatch):
    extract(make_config())

    def refuse(*_: object) -> None:
        raise AssertionError("a teacher was loaded")

    monkeypatch.setattr(pipeline.extract.tokens, "load_teacher", refuse)
    report = extract(make_config())
    assert report.rendered == 0
    assert [store.new for store in report.stores] == [0, 0]


def test_more_views_and_teachers_keep_existing_bytes(make_config):
    cache = make_config().runtime.cache_folder
    extract(make_config("views.unlabeled_views=1", "views.labeled_views=1"))
    before = {k: v for k, v in _files(cache).items() if "/c/" in k}
    report = extract(make_config())
    after = _files(cache)
    assert report.rendered == 10
    assert before
    assert all(after[name] == data for name, data in before.items())
    one_more = [
        (
            "teachers=[{name: vit, family: timm, model: test_vit, weights: random, input_size: 80},"
            "{name: other, family: timm, model: test_vit2, weights: random, input_size: 64}]"
        )
    ]
    report = extract(make_config(*one_more))
    assert [(store.teacher, store.new) for store in report.stores] == [("vit", 0), ("other", 20)]


def test_two_workers_write_the_same_bytes_as_one(make_config, tmp_path):
    small = "runtime.shard_mebibytes=1"
    extract(make_config(small))
    extract(make_config(small, "runtime.extract_workers=2", f"runtime.cache={tmp_path / 'two'}"))
    assert _files(tmp_path / "two") == _files(tmp_path / "cache")


# In place of a MiB, of which `runtime.shard_mebibytes` is 256: shards of a few records, several blocks.
_MEBIBYTE = 64
_RUN = f"""
import os, signal, sys
import torch
torch.set_num_threads(1)
import pipeline.extract.run
import pipeline.extract.producer
import pipeline.extract.tokens
import rsmtdf_core.store.writing as writing
from pipeline.config import load_config
from rsmtdf_core.store.group import ViewGroup
pipeline.extract.producer._MEBIBYTE = {_MEBIBYTE}
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
def write_then_die(*arguments):
    written.append(write_shard(*arguments))
    return die() if len(written) == shards else written[-1]
written, write_shard, shards = [], writing.write_shard, int(sys.argv[1])
if shards:
    writing.write_shard = write_then_die
else:
    ViewGroup.set_crops = die
pipeline.extract.run.extract(load_config(sys.argv[2], sys.argv[3:]))
"""


def _shards(cache: Path) -> set[tuple[Path, int]]:
    """Every complete shard, with an id that changes if the shard is replaced."""
    return {(path, path.stat().st_ino) for path in cache.glob("*/*/c/*/0/0/0")}


def _killed(shards: int, config_file: Path, cache: Path) -> None:
    """Extract in a process that kills itself after it has renamed so many shards; 0: when the first block is done."""
    there = _shards(cache)
    command = [sys.executable, "-c", _RUN, str(shards), str(config_file)]
    command += ["runtime.teacher_batch=1", f"runtime.cache={cache}"]
    done = subprocess.run(
        command,
        cwd=Path(__file__).resolve().parents[3],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert not _shards(cache) <= there
    assert not list(cache.glob("*/*/commit.json"))


@pytest.mark.slow
def test_a_killed_extraction_goes_on_to_the_same_bytes(
    make_config, config_file, tmp_path, monkeypatch
):
    monkeypatch.setattr(pipeline.extract.producer, "_MEBIBYTE", _MEBIBYTE)
    extract(make_config("runtime.teacher_batch=1"))
    other = tmp_path / "killed"
    for shards in (0, 1, 3):
        _killed(shards, config_file, other)
    extract(make_config("runtime.teacher_batch=1", f"runtime.cache={other}"))
    assert len(_shards(other)) > 2
    assert _files(other) == _files(tmp_path / "cache")
    assert not list(other.rglob("*.tmp-*"))


def _crops(config: ExperimentConfig) -> np.ndarray:
    experiment = plan_experiment(config)
    group = require_group(config.runtime.cache_folder, experiment.plan)
    return group.crops(group.rows(experiment.plan))


@pytest.mark.parametrize("committed", [False, True])
def test_records_without_a_known_crop_are_made_again(make_config, committed):
    """Shards that were renamed before a kill, of which the coordinator never heard."""
    config = make_config()
    report = extract(config)
    before = _files(config.runtime.cache_folder)
    group = require_group(config.runtime.cache_folder, plan_experiment(config).plan)
    unknown = np.load(group.path / CROPS)
    unknown[3:] = 0
    write_table(group.path / CROPS, unknown)
    if not committed:
        for store in report.stores:
            for name in (LEDGER, COMMIT):
                (store.path / name).unlink()
                copy_of(store.path / name).unlink()
    assert [store.new for store in extract(config).stores] == [17, 17]
    experiment = plan_experiment(config)
    renderer = ViewRenderer(SceneReader(experiment.dataset), experiment.plan)
    rendered = [crop_crc(renderer.weak(row)) for row in range(len(experiment.plan))]
    assert _crops(config).tolist() == rendered
    assert _files(config.runtime.cache_folder) == before
    assert [store.new for store in extract(config).stores] == [0, 0]


def test_when_one_block_fails_the_others_have_stopped(make_config, monkeypatch):
    config = make_config("runtime.teacher_batch=1")
    monkeypatch.setattr(pipeline.extract.producer, "_MEBIBYTE", _MEBIBYTE)

    def refuse(*_: object) -> None:
        raise StoreMismatchError("crops differ")

    monkeypatch.setattr(ViewGroup, "set_crops", refuse)
    with pytest.raises(StoreMismatchError, match="crops differ"):
        extract(config)
    left = _shards(config.runtime.cache_folder)
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if "_write" in name]
    assert _shards(config.runtime.cache_folder) == left
    assert not list(config.runtime.cache_folder.rglob("*.tmp-*"))
