"""A trace of a few training steps, taken once they run evenly."""

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
    """Writes one Chrome trace of `TRACED` steps after `WARM_UP` others; the training goes on meanwhile.

    Args:
        folder: where `steps-<first>-<last>.json` is written.
        start: the first step of the training, counted from 0.
        reporter: told of the file.
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
        """A step has ended."""
        if not self._written:
            self._profile.step()

    def _write(self, traced: profile) -> None:
        self._written = True  # or refused: the profiler has ended either way
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
        # Stopped in the middle it would write a trace of fewer steps under their name.
        self._profile.on_trace_ready = None
        self._profile.stop()
        if kind is None:
            self._reporter.warn(
                f"no profile: the training ended before step {WARM_UP + TRACED} of this start"
            )


def write_trace(traced: profile, path: Path) -> None:
    """Write a Chrome trace, complete or not at all.

    The profiler's writer passes on no error, so the file is read back.

    Raises:
        WriteError: the system refuses to write it.
    """
    with atomic_path(path) as temporary:
        temporary.touch()  # the system's own reason, if there is one
        traced.export_chrome_trace(str(temporary))
        try:
            json.loads(temporary.read_bytes())
        except ValueError:
            reason = "its end is missing, as on a full disk"
            raise OSError(errno.EIO, reason, str(temporary)) from None
        sync_file(temporary)
