"""Signals: all processes stop together, with the training saved; a second signal ends them at once."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

import pipeline.train.validation
from pipeline.train.run import train
from pipeline.train.signals import Interrupted
from rsmtdf_core.errors import RunError
from rsmtdf_core.runs.checkpoint import checkpoints_in, newest_checkpoint
from rsmtdf_core.runs.folder import open_run

SUPERVISED = ("objective.method=supervised", "runtime.keep_checkpoints=9")
FIRST_THEN_SECOND = """
import os, signal
from pipeline.train.signals import Signals
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits that it is ignored
with Signals(speaks=True, exits=EXITS) as signals:
    os.kill(os.getpid(), signal.SIGTERM)
    print(signals.number, flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    print("still here")
"""


def lines_of(run):
    lines = open_run(run).read_metrics()
    for line in lines:
        line.pop("seconds", None)
    return lines


def wait_for(file, lines, process):
    while not (file.is_file() and file.read_text().count("\n") >= lines):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def sent_twice(*, exits):
    script = FIRST_THEN_SECOND.replace("EXITS", str(exits))
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )


def test_a_second_signal_ends_at_once():
    done = sent_twice(exits=True)
    assert done.returncode == 130
    assert done.stdout == "15\n"
    assert "SIGTERM: stopping after the current step; a second signal ends at once" in done.stderr


def test_in_a_library_a_second_signal_interrupts_as_usual():
    done = sent_twice(exits=False)
    assert done.stdout == "15\n"
    assert done.stderr.endswith("KeyboardInterrupt\n")


def test_a_signal_during_a_validation_puts_it_off_to_the_resumed_run(make_config, monkeypatch):
    config = make_config(*SUPERVISED, "optimiser.epochs=2")
    whole = train(config, config.runtime.runs / "whole").run
    part = config.runtime.runs / "part"
    count = pipeline.train.validation.count_confusion
    asked = []

    def signalled(*arguments):
        asked.append(arguments)
        os.kill(os.getpid(), signal.SIGTERM)
        return count(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline.train.validation, "count_confusion", signalled)
        with pytest.raises(Interrupted, match="SIGTERM after step 4 of 8"):
            train(config, part)
    assert len(asked) == 1
    assert not any("miou" in line for line in lines_of(part))
    train(config, part, resume=True)
    assert lines_of(part) == lines_of(whole)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_processes_stop_together_after_a_signal_to_one(config_file, make_config):
    settings = (
        *SUPERVISED,
        "optimiser.epochs=4000",
        "evaluation.every=4000",
        "runtime.log_every=4",
    )
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    words += ["-m", "cli.main", "train", str(config_file)]
    for override in settings:
        words += ["--set", override]
    process = subprocess.Popen(
        words,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    run = make_config(*settings).run_folder
    try:
        wait_for(run / "metrics.jsonl", 2, process)
        second = next(pid for pid in workers(process.pid) if rank(pid) == "1")
        os.kill(second, signal.SIGTERM)
        _, stderr = process.communicate()
    finally:
        process.kill()
    assert "SIGTERM after step" in stderr, stderr
    assert "torchrun --nproc-per-node 2" in stderr
    assert "exitcode  : 143" in stderr, stderr
    assert open_run(run).facts["status"] == "interrupted"
    checkpoint, damaged = newest_checkpoint(run / "checkpoints")
    assert not damaged
    assert len(checkpoints_in(run / "checkpoints")) == 1
    # Processes synchronize when a step is logged.
    assert checkpoint.state["step"] % 4 == 1
    assert lines_of(run)[-1]["step"] == checkpoint.state["step"] - 1


@pytest.mark.reliability
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux announces the death of a parent")
def test_processes_of_a_killed_torchrun_save_and_end_and_hold_the_run_until_then(
    config_file, make_config
):
    settings = (*SUPERVISED, "optimiser.epochs=4000", "evaluation.every=4000")
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    words += ["-m", "cli.main", "train", str(config_file)]
    for override in settings:
        words += ["--set", override]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    launcher = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True)
    config = make_config(*settings)
    processes = []
    try:
        wait_for(config.run_folder / "metrics.jsonl", 2, launcher)
        processes = workers(launcher.pid)
        assert len(processes) == 2
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        launcher.kill()
        launcher.wait()
        leader = next(process for process in processes if rank(process) == "0")
        with pytest.raises(RunError, match=f"process {leader} on .* is training this run"):
            train(config, resume=True)
        for process in processes:
            os.kill(process, signal.SIGCONT)
        _, stderr = launcher.communicate()  # ends with the last process that can write to it
    finally:
        launcher.kill()
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    assert "SIGTERM after step" in stderr, stderr
    assert "--resume" in stderr
    run = open_run(config.run_folder)
    assert run.facts["status"] == "interrupted"
    assert not run.is_live
    checkpoint, _ = newest_checkpoint(run.checkpoints)
    assert checkpoint.state["step"] == lines_of(run.path)[-1]["step"] + 1


def workers(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def rank(pid):
    facts = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next((fact[5:].decode() for fact in facts if fact.startswith(b"RANK=")), "")


@pytest.mark.slow
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.reliability)]
)
def test_a_signal_to_all_processes_of_a_job_leaves_the_loaders_alive_until_it_is_saved(
    config_file, make_config, number
):
    settings = ("objective.method=fixmatch", "optimiser.epochs=4000", "evaluation.every=4000")
    words = [sys.executable, "-m", "cli.main", "train", str(config_file)]
    for override in (*settings, "runtime.workers=2"):
        words += ["--set", override]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    run = make_config(*settings).run_folder
    wait_for(run / "metrics.jsonl", 3, process)
    os.killpg(process.pid, number)
    _, stderr = process.communicate()
    assert process.returncode == 128 + number, stderr
    assert "Traceback" not in stderr
    checkpoint, _ = newest_checkpoint(run / "checkpoints")
    assert checkpoint.state["step"] == lines_of(run)[-1]["step"] + 1
