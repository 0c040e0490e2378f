"""Measure the phases of a step, without making the host wait for the device."""

import time
from dataclasses import dataclass, field
from typing import Literal

import torch

Phase = Literal["data", "ema", "student", "loss", "backward", "optimiser"]

_Mark = float | torch.cuda.Event


@dataclass
class StepClock:
    """Measure the phases of a step: each lasts until the next begins, and a phase may occur several times.

    Phases: waiting for data and targets; the EMA model's pass and update; the student's forward pass; losses;
    the backward pass; the optimizer. On a GPU they are measured by events in the stream of the computation, so the
    times are those of the kernels and not of their launches.

    Attributes:
        device: the device of the training.
    """

    device: torch.device
    _marks: list[tuple[Phase | None, _Mark]] = field(default_factory=list)

    def begin(self, phase: Phase) -> None:
        """Start a phase and end the last one."""
        self._marks.append((phase, self._now()))

    def end(self) -> None:
        """End the step and its last phase."""
        self._marks.append((None, self._now()))

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each phase and of the whole `step`; wait for the GPU to complete it."""
        last = self._marks[-1][1]
        if isinstance(last, torch.cuda.Event):
            last.synchronize()
        durations: dict[str, float] = {}
        for (phase, start), (_, stop) in zip(self._marks, self._marks[1:], strict=False):
            assert phase is not None
            durations[phase] = durations.get(phase, 0.0) + _between(start, stop)
        return {"step": sum(durations.values()), **durations}

    def _now(self) -> _Mark:
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


def _between(start: _Mark, stop: _Mark) -> float:
    if isinstance(start, torch.cuda.Event):
        assert isinstance(stop, torch.cuda.Event)
        milliseconds: float = start.elapsed_time(stop)
        return milliseconds / 1000
    assert isinstance(stop, float)
    return stop - start
