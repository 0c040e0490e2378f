"""Where a step's time goes, without making the host wait for the device."""

import time
from dataclasses import dataclass, field
from typing import Literal

import torch

Phase = Literal["data", "ema", "student", "loss", "backward", "optimiser"]

_Mark = float | torch.cuda.Event


@dataclass
class StepClock:
    """Times the phases of one step: each lasts until the next begins, and one may come several times.

    Phases: waiting for data and targets; the EMA model's pass and update; the student's forward pass; losses;
    the backward pass; the optimiser. On a GPU they are told by events in its own stream, so that what
    counts is when work was done and not when it was asked for.

    Attributes:
        device: where the step is computed.
    """

    device: torch.device
    _marks: list[tuple[Phase | None, _Mark]] = field(default_factory=list)

    def begin(self, phase: Phase) -> None:
        """What follows is of this phase."""
        self._marks.append((phase, self._now()))

    def end(self) -> None:
        """The step is over."""
        self._marks.append((None, self._now()))

    def seconds(self) -> dict[str, float]:
        """Seconds of each phase, and of the whole `step`; waits for the GPU to be through with it."""
        last = self._marks[-1][1]
        if isinstance(last, torch.cuda.Event):
            last.synchronize()
        taken: dict[str, float] = {}
        for (phase, start), (_, stop) in zip(self._marks, self._marks[1:], strict=False):
            assert phase is not None
            taken[phase] = taken.get(phase, 0.0) + _between(start, stop)
        return {"step": sum(taken.values()), **taken}

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
