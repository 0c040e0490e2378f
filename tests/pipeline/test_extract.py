import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr

import pipeline.blocks
from pipeline.blocks import Block, Work, extract_block
from pipeline.extract import extract
from pipeline.plan import plan_experiment
from rsmtdf_core.errors import ConfigError, StoreError, StoreMismatchError
from rsmtdf_core.manifests.reader import SceneReader
from rsmtdf_core.store.find import find_store
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.teachers.teacher import declared_identity, live_teachers, load_teacher
from rsmtdf_core.views.render import ViewRenderer


def _files(cache: Path) -> dict[str, bytes]:
    """Everything that must not depend on how an extraction went."""
    kept = ("zarr.json", "views.npy", "crops.npy")
    return {
        str(path.relative_to(cache)): path.read_bytes()
        for path in sorted(cache.rglob("*"))
        if path.is_file() and (path.name in kept or "c" in path.parts)
    }


def test_every_record_is_what_the_teacher_says_of_the_view(make_config):
    config = make_config()
    report = extract(config)
    assert (report.rendered, report.views) == (20, 20)
    assert [(one.teacher, one.views, one.new) for one in report.stores] == [
        ("vit", 20, 20),
        ("cnn", 20, 20),
    ]
    experiment = plan_experiment(config)
    renderer = ViewRenderer(SceneReader(experiment.dataset), experiment.plan)
    for settings in config.teachers:
        identity = declared_identity(settings, config.views.crop)
        store = find_store(config.runtime.cache_folder, experiment.plan, identity, "fp16")
        reader = FeatureReader(store, store.require(experiment.plan))
        teacher = load_teacher(settings, config.views.crop)
        for row in (0, 7, 19):
            view = np.stack([renderer.teacher_view(row)]).transpose(0, 3, 1, 2)
            expected = teacher.tokens(torch.from_numpy(view.copy()))[0].numpy()
            np.testing.assert_allclose(reader.tokens(row), expected, rtol=1e-2, atol=1e-3)


def test_zarr_opens_a_store_and_reads_the_same_numbers(make_config):
    config = make_config()
    report = extract(config)
    experiment = plan_experiment(config)
    for settings, one in zip(config.teachers, report.stores, strict=True):
        identity = declared_identity(settings, config.views.crop)
        store = find_store(config.runtime.cache_folder, experiment.plan, identity, "fp16")
        rows = store.require(experiment.plan)
        array = zarr.open_array(one.path, mode="r")
        assert np.array_equal(array[rows[5]], FeatureReader(store, rows).tokens(5))


def test_a_complete_extraction_is_found_without_loading_a_teacher(make_config, monkeypatch):
    extract(make_config())

    def refuse(*_: object) -> None:
        raise AssertionError("a teacher was loaded")

    monkeypatch.setattr(pipeline.blocks, "load_teacher", refuse)
    report = extract(make_config())
    assert report.rendered == 0
    assert [one.new for one in report.stores] == [0, 0]


def test_teachers_are_let_go_at_the_end(make_config):
    extract(make_config())
    assert live_teachers() == 0


def test_more_views_and_teachers_leave_what_is_there_byte_for_byte(make_config):
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
    assert [(one.teacher, one.new) for one in report.stores] == [("vit", 0), ("other", 20)]


def test_two_workers_write_the_same_bytes_as_one(make_config, tmp_path):
    small = "runtime.shard_mebibytes=1"
    extract(make_config(small))
    extract(make_config(small, "runtime.extract_workers=2", f"runtime.cache={tmp_path / 'two'}"))
    assert _files(tmp_path / "two") == _files(tmp_path / "cache")


@pytest.mark.slow
def test_a_killed_extraction_goes_on_to_the_same_bytes(make_config, config_file, tmp_path):
    extract(make_config("runtime.teacher_batch=1"))
    other = tmp_path / "killed"
    command = [sys.executable, "-m", "cli.main", "extract-features", str(config_file)]
    command += ["--cache", str(other), "--set", "runtime.teacher_batch=1"]
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        command,
        cwd=root,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not list(other.glob("*/*/c/*/0/0/*")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not list(other.glob("*/*/commit.json")), "killed too late to prove anything"
    extract(make_config("runtime.teacher_batch=1", f"runtime.cache={other}"))
    assert _files(other) == _files(tmp_path / "cache")
    assert not list(other.rglob("*.tmp-*"))


def test_a_failing_teacher_leaves_no_shard_and_no_thread(make_config, monkeypatch):
    config = make_config()

    class Broken:
        shape = None

        def tokens(self, images):
            raise RuntimeError("broken on purpose")

    monkeypatch.setattr(pipeline.blocks, "_teacher", lambda *_: Broken())
    experiment = plan_experiment(config)
    path = config.runtime.cache_folder / "none"
    work = Work(experiment.dataset, experiment.plan, ((config.teachers[0], path),), 4)
    missing = {"vit": np.ones(4, np.bool_)}
    with pytest.raises(RuntimeError, match="broken on purpose"):
        extract_block(work, Block(range(4), np.arange(4), missing), "cpu", lambda _: None)
    assert not path.exists()


def test_a_changed_teacher_under_the_same_name_is_refused(make_config, monkeypatch):
    extract(make_config("views.unlabeled_views=1"))
    import rsmtdf_core.teachers.teacher as module

    probe = module.Teacher.probe
    monkeypatch.setattr(module.Teacher, "probe", lambda self: [2 * x for x in probe(self)])
    with pytest.raises(StoreMismatchError, match="probe image"):
        extract(make_config())


def test_a_full_disk_is_refused_before_work_starts(make_config, monkeypatch):
    import shutil

    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(StoreError, match="the disk has"):
        extract(make_config())


def test_a_config_without_teachers_is_refused(make_config):
    with pytest.raises(ConfigError, match="names no teacher"):
        extract(make_config("teachers=[]"))
