"""Trace a few training steps after a warm-up (tests: test_run_extras.py)."""

import errno
import json
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from pipeline.reporter import Reporter
from rsmtdf_core.files import atomic_path, sync_file

# The first steps fill caches and choose kernels; the profiler's own first step is slow too.
WARM_UP = 3
TRACED = 3


class StepProfiler:
    """Write a Chrome trace of `TRACED` steps after `WARM_UP` others, without interrupting the training.

    Args:
        folder: folder of the trace, `steps-<first>-<last>.json`.
        start: the first step of the training, counted from 0.
        reporter: shows the path of the trace.
    """

    def __init__(self, folder: Path, start: int, reporter: Reporter) -> None:
        first = start + WARM_UP
        self._path = folder / f"steps-{first}-{first + TRACED - 1}.json"
        self._reporter = reporter
        self._written = False
        activities = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(ProfilerActivity.CUDA)
        self._profile = profile(
            activities=activities,
            schedule=schedule(wait=WARM_UP - 1, warmup=1, active=TRACED, repeat=1),
            on_trace_ready=self._write,
        )

    def __enter__(self) -> Self:
        self._profile.start()
        return self

    def advance(self) -> None:
        """Record the end of a step."""
        if not self._written:
            self._profile.step()

    def _write(self, traced: profile) -> None:
        self._written = True  # even if the write fails: the profiler has ended
        write_trace(traced, self._path)
        self._reporter.say(
            f"profile of {TRACED} steps: {self._path}; open it in https://ui.perfetto.dev or chrome://tracing"
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._written:
            return
        # Otherwise stopping would write a trace of fewer steps under the full name.
        self._profile.on_trace_ready = None
        self._profile.stop()
        if kind is None:
            self._reporter.warn(
                f"no profile: the training ended before its first {WARM_UP + TRACED} steps were complete"
            )


def write_trace(traced: profile, path: Path) -> None:
    """Write a Chrome trace, atomically.

    The profiler's writer ignores errors, so the file is read back.

    Raises:
        WriteError: If the trace cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.touch()  # raises the system's error, if the file cannot be created
        traced.export_chrome_trace(str(temporary))
        try:
            json.loads(temporary.read_bytes())
        except ValueError:
            reason = "the file is incomplete, possibly because the disk is full"
            raise OSError(errno.EIO, reason, str(temporary)) from None
        sync_file(temporary)
