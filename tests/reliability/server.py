"""Runs extractions in processes forked from one that has imported all they need; Python starts slowly.

Each line of stdin is a JSON list of jobs, which run at the same time; the answer is the list of their
exit codes, minus the signal's number for those that were killed. An empty line ends it: the end of stdin
may not come while another process holds a copy of the pipe.

    cache, job       a `harness.Job` in that folder; or
    config           arguments of `pipeline.config.load_config`
    delay            seconds after which it is killed; absent: never
    at, half         it kills itself before its operation number `at` (see tap.py), or in the middle of it
    events           file for the operations' names
"""

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import torch

from tests.reliability import harness
from tests.reliability.tap import tapped


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _suicide(at: int, in_the_middle: bool):
    calls = 0

    def hook(op, path, act, half):
        nonlocal calls
        calls += op != "read"
        if calls == at and op != "read":
            if in_the_middle:
                half()
            _die()
        return act()

    return hook


def _run(task: dict) -> None:
    if "config" in task:
        import pipeline.extract.producer
        import pipeline.extract.run
        from pipeline.config import load_config

        pipeline.extract.producer._MEBIBYTE = 64  # shards of a few records
        pipeline.extract.run.extract(load_config(task["config"][0], task["config"][1:]))
        return
    cache, job = Path(task["cache"]), harness.Job(**task["job"])
    events: list[list[str]] = []
    hook = _suicide(task["at"], task["half"]) if "at" in task else harness.count(events)
    if "at" in task or "events" in task:
        with tapped(cache, hook):
            harness.extract(cache, job)
    else:
        harness.extract(cache, job)
    if "events" in task:
        Path(task["events"]).write_text(json.dumps(events))


def _forked(task: dict) -> int:
    child = os.fork()
    if child:
        return child
    try:
        _run(task)
    except BaseException:  # noqa: BLE001 - nothing may leave the child
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main() -> None:
    """Serve until an empty line, or the end of stdin."""
    torch.set_num_threads(1)
    # Only a power cut loses unsynced data, and waiting for the disk takes most of the time.
    os.fsync = lambda _: None
    if "pipeline" in sys.argv:
        import pipeline.extract.run  # noqa: F401 - for the children
    print("[]", flush=True)
    for line in sys.stdin:
        if not line.strip():
            break
        tasks = json.loads(line)
        began = time.monotonic()
        children = [_forked(task) for task in tasks]
        timed = [
            (task["delay"], child)
            for task, child in zip(tasks, children, strict=True)
            if "delay" in task
        ]
        for delay, child in sorted(timed):
            time.sleep(max(0.0, began + delay - time.monotonic()))
            os.kill(child, signal.SIGKILL)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        print(json.dumps(codes), flush=True)


if __name__ == "__main__":
    main()
