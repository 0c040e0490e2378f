"""A tracker that fails, such as on a full disk, ends the training with one sentence that names how to continue."""

import errno
import os

import pytest

from pipeline.train.trackers import running_trackers, tracking
from rsmtdf_core.errors import RunError, WriteError
from rsmtdf_core.runs.folder import RunFolder
from rsmtdf_core.runs.seals import write_sealed_json

FAILURES = [
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    PermissionError(errno.EACCES, os.strerror(errno.EACCES), "mlruns"),
    RuntimeError("API error\nwith\nmany lines"),
    KeyError(),
]


class Tracker:
    """Fails in starting or finishing, and counts how often it was finished."""

    def __init__(self, failing, failure):
        self.num_processes, self.trackers, self.finished = 1, [self], 0
        self._failing, self._failure = failing, failure

    def init_trackers(self, *_args, **_more):
        if self._failing == "start":
            raise self._failure

    def finish(self):
        self.finished += 1
        if self._failing == "finish":
            raise self._failure


@pytest.fixture
def run(tmp_path):
    run = RunFolder(tmp_path / "run")
    write_sealed_json(run.marker, {"format": 1})
    return run


def trains_in(run, make_config, tracker, error=None):
    config = make_config("runtime.trackers=[wandb]")
    with running_trackers(tracker, config, run):
        if error is not None:
            raise error


@pytest.mark.parametrize("failure", FAILURES, ids=repr)
@pytest.mark.parametrize("failing", ["start", "finish"])
def test_a_failing_tracker_is_named_with_the_command_that_continues(
    run, make_config, failing, failure
):
    with pytest.raises(RunError, match=r"a tracker fails: .") as caught:
        trains_in(run, make_config, Tracker(failing, failure))
    assert "\n" not in caught.value.what
    assert caught.value.where == "runtime.trackers"
    assert "--resume --set 'runtime.trackers=[]'" in caught.value.remedy
    assert str(run.path) in caught.value.remedy


def test_errors_of_the_training_come_before_those_of_its_trackers(run, make_config):
    tracker = Tracker("finish", FAILURES[0])
    full = WriteError("the file cannot be written", where="metrics.jsonl")
    with pytest.raises(WriteError) as caught:
        trains_in(run, make_config, tracker, full)
    assert caught.value is full
    assert tracker.finished == 1


def test_trackers_are_finished_and_their_runs_are_recorded(run, make_config):
    tracker = Tracker("never", None)
    trains_in(run, make_config, tracker)
    assert tracker.finished == 1
    assert tracker.trackers == []
    assert len(run.facts["trackers"]["wandb"]) == 8


def test_errors_with_a_remedy_pass_through(run):
    refused = RunError("no")
    with pytest.raises(RunError) as caught, tracking(run, 1):
        raise refused
    assert caught.value is refused


def test_the_command_of_several_processes_starts_torchrun(run):
    with pytest.raises(RunError) as caught, tracking(run, 4):
        raise ValueError("no connection")
    assert "torchrun --nproc-per-node 4" in caught.value.remedy
