import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from distributed import Client, LocalCluster
from distributed.scheduler import KilledWorker
from safetensors.torch import save_file

import pipeline.extract.blocks
import pipeline.extract.cluster
import pipeline.extract.parts
import pipeline.extract.run
from pipeline.config import ExperimentConfig, RuntimeSettings
from pipeline.extract.blocks import Block, Work, extract_block
from pipeline.extract.cluster import open_cluster, run_task
from pipeline.extract.run import extract
from pipeline.plan import plan_experiment
from rsmtdf_core.cache.find import find_store
from rsmtdf_core.errors import ConfigError, StoreError, StoreMismatchError, TeacherError
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.store.commit import COMMIT
from rsmtdf_core.store.copies import copy_of
from rsmtdf_core.store.group import CROPS, ViewGroup
from rsmtdf_core.store.ledger import LEDGER
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.tables import write_table
from rsmtdf_core.teachers.teacher import (
    Teacher,
    declared_identity,
    live_teachers,
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
        store = find_store(
            config.runtime.cache_folder, experiment.plan, identity, settings.declared_codec
        )
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
        store = find_store(
            config.runtime.cache_folder, experiment.plan, identity, settings.declared_codec
        )
        rows = store.require(experiment.plan)
        array = zarr.open_array(one.path, mode="r")
        assert np.array_equal(
            array[rows[5]].astype(np.float32), FeatureReader(store, rows).tokens(5)
        )


def test_a_complete_extraction_is_found_without_loading_a_teacher(make_config, monkeypatch):
    extract(make_config())

    def refuse(*_: object) -> None:
        raise AssertionError("a teacher was loaded")

    monkeypatch.setattr(pipeline.extract.blocks, "load_teacher", refuse)
    report = extract(make_config())
    assert report.rendered == 0
    assert [one.new for one in report.stores] == [0, 0]


def _wait_until_let_go() -> None:
    """A worker's thread may still be leaving its last task when the extraction is over.

    Collected, because errors that other tests kept may hold teachers of theirs in cycles.
    """
    while live_teachers():
        gc.collect()
        time.sleep(0.05)


def test_teachers_are_let_go_at_the_end(make_config):
    extract(make_config())
    _wait_until_let_go()


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


# In place of a MiB, of which `runtime.shard_mebibytes` is 256: shards of a few records, several blocks.
_MEBIBYTE = 64
_RUN = f"""
import os, signal, sys
import torch
torch.set_num_threads(1)
import pipeline.extract.run
import pipeline.extract.parts
import rsmtdf_core.store.writing as writing
from pipeline.config import load_config
from rsmtdf_core.store.group import ViewGroup
pipeline.extract.parts._MEBIBYTE = {_MEBIBYTE}
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
    """Every whole shard, told from one that replaced it."""
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
    monkeypatch.setattr(pipeline.extract.parts, "_MEBIBYTE", _MEBIBYTE)
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
    group = ViewGroup.require(config.runtime.cache_folder, experiment.plan)
    return group.crops(group.rows(experiment.plan))


@pytest.mark.parametrize("committed", [False, True])
def test_records_without_a_known_crop_are_made_again(make_config, committed):
    """Shards that were renamed before a kill, of which the coordinator never heard."""
    config = make_config()
    report = extract(config)
    before = _files(config.runtime.cache_folder)
    group = ViewGroup.require(config.runtime.cache_folder, plan_experiment(config).plan)
    unknown = np.load(group.path / CROPS)
    unknown[3:] = 0
    write_table(group.path / CROPS, unknown)
    if not committed:
        for one in report.stores:
            for name in (LEDGER, COMMIT):
                (one.path / name).unlink()
                copy_of(one.path / name).unlink()
    assert [one.new for one in extract(config).stores] == [17, 17]
    experiment = plan_experiment(config)
    renderer = ViewRenderer(SceneReader(experiment.dataset), experiment.plan)
    rendered = [crop_crc(renderer.weak(row)) for row in range(len(experiment.plan))]
    assert _crops(config).tolist() == rendered
    assert _files(config.runtime.cache_folder) == before
    assert [one.new for one in extract(config).stores] == [0, 0]


def test_when_one_block_fails_the_others_have_stopped(make_config, monkeypatch):
    config = make_config("runtime.teacher_batch=1")
    monkeypatch.setattr(pipeline.extract.parts, "_MEBIBYTE", _MEBIBYTE)

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


def _cluster(workers: int) -> LocalCluster:
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=2,
        processes=False,
        protocol="tcp://",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"dashboard": False},
    )


def test_a_running_scheduler_is_used_and_left_running(make_config):
    with _cluster(1) as cluster:
        report = extract(make_config(), cluster.scheduler_address)
        assert [one.new for one in report.stores] == [20, 20]
        _wait_until_let_go()
        with Client(cluster.scheduler_address) as client:
            assert client.submit(sum, [1, 2]).result() == 3


def test_a_scheduler_without_workers_is_told(make_config, monkeypatch):
    wait = Client.wait_for_workers
    monkeypatch.setattr(
        Client, "wait_for_workers", lambda client, count, timeout: wait(client, count, 0.5)
    )
    with (
        _cluster(0) as cluster,
        pytest.raises(ConfigError, match=f"dask worker {cluster.scheduler_address}"),
    ):
        extract(make_config(), cluster.scheduler_address)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nowhere"])
def test_a_wrong_scheduler_address_is_told(make_config, monkeypatch, address):
    monkeypatch.setattr(pipeline.extract.cluster, "CONNECT_SECONDS", 0.5)
    with pytest.raises(ConfigError, match=address):
        extract(make_config(), address)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told(make_config):
    with pytest.raises(ConfigError, match=r"runtime\.device=auto"):
        extract(make_config("runtime.device=cuda"))


def test_workers_get_whole_paths(make_config, scenes, tmp_path, monkeypatch):
    works = []
    real = pipeline.extract.run.run_blocks

    def watched(client, work, *rest):
        works.append(work)
        real(client, work, *rest)

    monkeypatch.setattr(pipeline.extract.run, "run_blocks", watched)
    monkeypatch.chdir(scenes)
    extract(make_config("data.root=.", f"runtime.cache={os.path.relpath(tmp_path / 'there')}"))
    [work] = works
    assert work.dataset.root == scenes
    assert all(path.is_absolute() for _, path in work.teachers)


def test_a_failing_teacher_leaves_no_shard_and_no_thread(make_config, monkeypatch):
    config = make_config()

    class Broken:
        shape = None

        def tokens(self, images):
            raise RuntimeError("broken on purpose")

    monkeypatch.setattr(pipeline.extract.blocks, "_teacher", lambda *_: Broken())
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


@pytest.mark.parametrize("codec", ["fp16", "transform"])
def test_a_teacher_whose_tokens_are_not_finite_is_refused_by_file_name(
    make_config, tmp_path, monkeypatch, codec
):
    config = make_config(f"teachers.vit.codec={codec}")
    teacher = load_teacher(config.teachers[0], config.views.crop)
    weights = tmp_path / "overflowing.safetensors"
    save_file(dict(teacher._module.model.state_dict()), weights)
    tokens = Teacher.tokens

    def overflowing(self, images):
        found = tokens(self, images)
        return found * torch.inf if self.settings.name == "vit" else found

    monkeypatch.setattr(Teacher, "tokens", overflowing)
    with pytest.raises(TeacherError, match="teacher vit computes tokens") as caught:
        extract(make_config(f"teachers.vit.codec={codec}", f"teachers.vit.weights={weights}"))
    assert caught.value.where == str(weights)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("teachers.vit.model=no_such_model", "timm has no model 'no_such_model'"),
        ("teachers.vit.block=99", "no block 99"),
        ("teachers.vit.input_size=1", "multiple of 16 px, found 1"),
        ("teachers.vit.weights=absent.pth", "does not exist"),
        ("teachers.vit.weights=README", "text that begins with"),
    ],
)
def test_a_teacher_that_cannot_be_is_refused_before_a_worker_starts(
    make_config, tmp_path, monkeypatch, override, message
):
    (tmp_path / "README").write_text("weights are elsewhere")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline.extract.run, "open_cluster", None)
    with pytest.raises(TeacherError, match=message):
        extract(make_config(override))


def _fail(kind: type[Exception], text: str) -> None:
    raise kind(text)


@pytest.mark.parametrize("kind", [TeacherError, OSError])
def test_an_error_on_a_worker_is_raised_here_and_logged_nowhere(kind, caplog):
    with open_cluster(RuntimeSettings(), None) as client, pytest.raises(kind, match="of a file"):
        run_task(client, _fail, kind, "of a file")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_an_error_in_a_block_is_raised_here_and_logged_nowhere(make_config, monkeypatch, caplog):
    def fail(*_):
        raise TeacherError("broken on purpose")

    monkeypatch.setattr(pipeline.extract.cluster, "extract_block", fail)
    with pytest.raises(TeacherError, match="broken on purpose"):
        extract(make_config("runtime.shard_mebibytes=1"))
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_workers_that_the_system_kills_are_one_sentence():
    class Killed:
        def submit(self, *_, **__):
            return self

        def result(self):
            raise KilledWorker("task", None, 3)

    with pytest.raises(TeacherError, match="several workers were killed") as caught:
        run_task(Killed(), _fail)
    assert "runtime.teacher_batch" in caught.value.remedy


def test_a_teacher_without_memory_names_what_to_lower(make_config, monkeypatch):
    teacher = load_teacher(make_config().teachers[0], 64)

    def fail(_):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(teacher, "_module", fail)
    with pytest.raises(TeacherError, match="runs out of memory with 2 images") as caught:
        teacher.tokens(torch.zeros(2, 3, 64, 64, dtype=torch.uint8))
    assert "runtime.teacher_batch" in caught.value.remedy
