"""A run's record has the facts that its folder holds, and a damaged file is refused by name."""

import errno
import os
import signal

import pytest

from pipeline.runs.record import read_run
from rsmtdf_core.errors import RunError
from rsmtdf_core.runs.lock import hold_run
from rsmtdf_core.runs.metrics import write_metrics
from tests.pipeline.runs.written import lock_stores, write_run

SUPERVISED = "objective.method=supervised"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


def test_a_finished_run_has_its_steps_scores_and_settings(make_config, folder):
    config = make_config(SUPERVISED)
    write_run(folder, config, (0.25, 0.75, 0.5), status="finished", steps=12, total=12)
    record = read_run(folder)
    assert record.config == config
    assert record.manifest.name == "synthetic"
    assert (record.status, record.ended, record.steps, record.total) == ("finished", True, 12, 12)
    assert [validation.miou for validation in record.validations] == [0.25, 0.75, 0.5]
    assert (record.best.miou, record.best.steps, record.best.epoch) == (0.75, 8, 2)
    assert not record.distils
    assert record.random_teachers == ()


def test_a_running_run_has_as_many_steps_as_its_metrics(make_config, folder):
    write_run(folder, make_config(SUPERVISED), (0.5, 0.5), status="running", steps=1)
    with hold_run(folder, warn=None):
        record = read_run(folder)
    assert (record.status, record.ended, record.steps, record.total) == ("running", False, 8, None)


def test_a_run_whose_process_was_killed_is_killed(make_config, folder):
    write_run(folder, make_config(SUPERVISED), (0.5, 0.5), status="running", steps=1)
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        with hold_run(folder, warn=None):
            os.write(tell, b"x")
            signal.pause()
        os._exit(1)
    os.read(ready, 1)
    assert read_run(folder).status == "running"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    record = read_run(folder)
    assert (record.status, record.ended, record.steps, record.total) == ("killed", False, 8, None)


@pytest.mark.parametrize("status", ["interrupted", "finished"])
def test_a_run_that_ended_by_itself_was_not_killed(make_config, folder, status):
    write_run(folder, make_config(SUPERVISED), status=status)
    assert read_run(folder).status == status


def test_without_locks_a_run_that_may_be_running_is_running(make_config, folder, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    write_run(folder, make_config(SUPERVISED), status="running")
    (folder / ".lock").touch()
    monkeypatch.setattr("fcntl.flock", refuse)
    assert read_run(folder).status == "running"


def test_a_run_that_ends_during_the_check_was_not_killed(make_config, folder, monkeypatch):
    run = write_run(folder, make_config(SUPERVISED), status="running")

    def ends(_path):
        run.note(status="finished")
        return False

    monkeypatch.setattr("rsmtdf_core.runs.folder.is_locked", ends)
    assert read_run(folder).status == "finished"


@pytest.mark.parametrize("status", [None, "exploded"])
def test_an_unknown_status_is_unknown(make_config, folder, status):
    write_run(folder, make_config(SUPERVISED), status=status)
    record = read_run(folder)
    assert (record.status, record.steps, record.best) == ("unknown", 0, None)


@pytest.mark.parametrize(
    ("weights", "random"), [("a" * 64, ()), ("random: seed 0", ("cnn", "vit"))]
)
def test_teachers_with_random_weights_are_those_of_the_stores(make_config, folder, weights, random):
    run = write_run(folder, make_config(), status="running")
    assert read_run(folder).random_teachers == ("vit", "cnn"), "as in the config"
    lock_stores(run, weights=weights)
    assert tuple(sorted(read_run(folder).random_teachers)) == random


@pytest.mark.parametrize(
    "line",
    [
        {"step": 7, "epoch": "1", "split": "val", "miou": 0.5, "iou": {}},
        {"step": 7, "epoch": 1, "split": "val", "miou": None, "iou": {}},
        {"step": 7, "epoch": 1, "split": "val", "miou": 0.5},
        {"step": 7, "epoch": 1, "split": "val", "miou": 0.5, "iou": {"water": "0.5"}},
    ],
)
def test_a_line_that_no_training_writes_is_refused_by_number(make_config, folder, line):
    run = write_run(folder, make_config(SUPERVISED), (0.5,))
    write_metrics(run.metrics, [*run.read_metrics(), line])
    run.note_lines()
    with pytest.raises(RunError, match="line 3") as caught:
        read_run(folder)
    assert caught.value.where == str(run.metrics)
    assert "--resume" in caught.value.remedy


def test_a_damaged_or_incomplete_lock_is_refused(make_config, folder):
    run = write_run(folder, make_config(), status="running")
    lock_stores(run)
    assert set(read_run(folder).lock["stores"]) == {"vit", "cnn"}
    path = folder / "cache.lock.json"
    content = path.read_text()
    run.lock({"views": "v", "stores": {}})
    with pytest.raises(RunError, match="stores"):
        read_run(folder)
    path.write_text(content.replace("fp16", "fp61", 1))
    with pytest.raises(RunError) as caught:
        read_run(folder)
    assert caught.value.where == str(path)
    assert "--resume" in caught.value.remedy
