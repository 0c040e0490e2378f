"""One process at a time holds a run's folder."""

import errno
import fcntl
import multiprocessing
import os

import pytest

from rsmtdf_core.errors import RunError
from rsmtdf_core.runs.lock import hold_run
from tests.damages import run_remedy


def nobody_warns(sentence):
    raise AssertionError(sentence)


def test_a_second_holder_is_refused_and_learns_who_the_first_is(tmp_path):
    run = tmp_path / "runs" / "new"
    with hold_run(run, nobody_warns):
        with pytest.raises(RunError, match=f"process {os.getpid()} on .* is training this run"):
            hold_run(run, nobody_warns).__enter__()
        with hold_run(tmp_path / "runs" / "other", nobody_warns):
            pass
    with hold_run(run, nobody_warns):
        pass


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with (
        pytest.raises(RunError, match=r"folder|file"),
        hold_run(tmp_path / "runs" / "a", nobody_warns),
    ):
        pass


def test_the_lock_of_a_killed_process_is_gone_though_its_children_live(tmp_path):
    """A loader's process lives on for a while after the training was killed."""
    context = multiprocessing.get_context("fork")
    held, ends = context.Event(), context.Event()

    def hold():
        with hold_run(tmp_path, nobody_warns):
            child = context.Process(target=ends.wait)
            child.start()
            held.set()
            os.kill(os.getpid(), 9)

    process = context.Process(target=hold)
    process.start()
    held.wait()
    process.join()
    try:
        with hold_run(tmp_path, nobody_warns):
            pass
    finally:
        ends.set()


def test_a_file_system_without_locks_is_reported(tmp_path, monkeypatch):
    def refuse(*_args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    warnings = []
    with hold_run(tmp_path, warnings.append):
        pass
    assert "has no locks" in warnings[0]


@pytest.mark.parametrize("kind", ["directory", "link"])
def test_a_lock_that_is_no_file_is_one_sentence(tmp_path, kind):
    lock = tmp_path / ".lock"
    lock.mkdir() if kind == "directory" else lock.symlink_to("elsewhere")
    with pytest.raises(RunError, match="lock") as caught, hold_run(tmp_path, nobody_warns):
        pass
    assert caught.value.where == str(lock)
    run_remedy(caught.value.remedy, {})
    with hold_run(tmp_path, nobody_warns):
        pass
