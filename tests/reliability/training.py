"""Trainings in forked processes that kill themselves: at a step, or before one of their changes to the run's folder."""

import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

import pipeline.train.session
from pipeline.config import ExperimentConfig
from pipeline.train.run import train
from rsmtdf_core.errors import RunError
from rsmtdf_core.runs.checkpoint import load_checkpoint
from rsmtdf_core.runs.folder import open_run

# The audit events of Python that change a folder.
_CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "shutil.rmtree"}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_step(step: int) -> Callable[[Path], None]:
    """Dies once `step` is computed, before it is logged or saved."""

    def arm(_run: Path) -> None:
        after = pipeline.train.session.Session._after

        def hook(session: Any, record: Any) -> None:
            if record.step == step:
                die()
            after(session, record)

        pipeline.train.session.Session._after = hook

    return arm


def before(function: str) -> Callable[[Path], None]:
    """Dies when the session calls that function of its module."""

    def arm(_run: Path) -> None:
        assert callable(getattr(pipeline.train.session, function))
        setattr(pipeline.train.session, function, lambda *_args, **_more: die())

    return arm


def _watch(run: Path, changed: Callable[[str], None]) -> None:
    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode = arguments[0], arguments[1]
            if not isinstance(mode, str) or not set(mode) & set("wax+"):
                return
        elif event in _CHANGES:
            # A rename or a link is named by its new name.
            path = arguments[1] if event in {"os.rename", "os.link"} else arguments[0]
        else:
            return
        if isinstance(path, str | os.PathLike) and os.fspath(path).startswith(str(run)):
            name = re.sub(r"tmp-[0-9a-f]+", "tmp", Path(path).name)
            changed(f"{event} {re.sub(r'[0-9]+', '#', name)}")

    sys.addaudithook(hook)


def at_change(number: int) -> Callable[[Path], None]:
    """Dies before that change to the run's folder, counted from 1."""

    def arm(run: Path) -> None:
        seen = 0

        def changed(_name: str) -> None:
            nonlocal seen
            seen += 1
            if seen == number:
                die()

        _watch(run, changed)

    return arm


def noting(file: Path) -> Callable[[Path], None]:
    """Appends the name of each change to `file`."""

    def arm(run: Path) -> None:
        def changed(name: str) -> None:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(handle, f"{name}\n".encode())
            os.close(handle)

        _watch(run, changed)

    return arm


def forked(
    config: ExperimentConfig,
    run: Path,
    arm: Callable[[Path], None] = lambda _: None,
    delay: float | None = None,
) -> int:
    """Start or resume a training in a separate process; its exit code, -9 if it was killed."""
    child = os.fork()
    if child == 0:
        try:
            try:
                open_run(run)
                resume = True
            except RunError:
                resume = False
            arm(run)
            train(config, run, resume=resume, overwrite=not resume)
        except BaseException:  # noqa: BLE001 - nothing may leave the child
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def result(run: Path) -> dict[str, Any]:
    """All that must be equal of two runs: every checkpoint that is kept, and the metrics but for the time."""
    folder = open_run(run)
    kept: dict[str, Any] = {"status": folder.facts["status"]}
    for parent in (folder.checkpoints, folder.best):
        for path in sorted(parent.iterdir()):
            checkpoint = load_checkpoint(path)
            name = f"{parent.name}/{path.name}"
            kept[name] = {key: value for key, value in checkpoint.state.items() if key != "digests"}
            for file in checkpoint.digests:
                for key, tensor in load_file(path / file).items():
                    kept[f"{name}/{file}/{key}"] = tensor
    kept["metrics"] = [
        {key: value for key, value in line.items() if key != "seconds"}
        for line in folder.read_metrics()
    ]
    return kept


def assert_same(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Two results are equal, bit for bit."""
    assert first.keys() == second.keys()
    for name, value in first.items():
        other = second[name]
        assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other, (
            name
        )
