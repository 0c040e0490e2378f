"""Workers of an extraction: running schedulers, whole paths, and errors that become one sentence."""

import gc
import logging
import os
import time

import numpy as np
import pytest
import torch
from distributed import Client, LocalCluster
from distributed.scheduler import KilledWorker
from safetensors.torch import save_file

import pipeline.extract.cluster
import pipeline.extract.parts
import pipeline.extract.run
import pipeline.extract.tokens
from pipeline.extract.blocks import Block, Work, extract_block
from pipeline.extract.cluster import open_cluster, run_task
from pipeline.extract.run import extract
from pipeline.extract.tokens import TeacherTokens
from pipeline.plan import plan_experiment
from pipeline.sections import RuntimeSettings
from rsmtdf_core.errors import ConfigError, StoreError, StoreMismatchError, TeacherError
from rsmtdf_core.teachers.teacher import (
    Teacher,
    live_teachers,
    load_teacher,
)


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
        assert [store.new for store in report.stores] == [20, 20]
        _wait_until_let_go()
        with Client(cluster.scheduler_address) as client:
            assert client.submit(sum, [1, 2]).result() == 3


def test_a_scheduler_without_workers_is_reported(make_config, monkeypatch):
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
def test_a_wrong_scheduler_address_is_reported(make_config, monkeypatch, address):
    monkeypatch.setattr(pipeline.extract.cluster, "CONNECT_SECONDS", 0.5)
    with pytest.raises(ConfigError, match=address):
        extract(make_config(), address)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_reported(make_config):
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
    assert all(path.is_absolute() for _, path in work.producers)


def test_a_failing_teacher_leaves_no_shard_and_no_thread(make_config, monkeypatch):
    config = make_config()

    class Broken:
        shape = None

        def tokens(self, images):
            raise RuntimeError("broken on purpose")

    monkeypatch.setattr(pipeline.extract.tokens, "_teacher", lambda *_: Broken())
    experiment = plan_experiment(config)
    path = config.runtime.cache_folder / "none"
    work = Work(
        experiment.dataset, experiment.plan, ((TeacherTokens(config.teachers[0]), path),), 4
    )
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
        values = tokens(self, images)
        return values * torch.inf if self.settings.name == "vit" else values

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


def test_a_teacher_without_memory_names_settings_to_lower(make_config, monkeypatch):
    teacher = load_teacher(make_config().teachers[0], 64)

    def fail(_):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(teacher, "_module", fail)
    with pytest.raises(TeacherError, match="runs out of memory with 2 images") as caught:
        teacher.tokens(torch.zeros(2, 3, 64, 64, dtype=torch.uint8))
    assert "runtime.teacher_batch" in caught.value.remedy
