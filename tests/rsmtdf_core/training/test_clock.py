import time

import torch

from rsmtdf_core.training.clock import StepClock


def test_phases_that_come_again_are_added_up_and_the_step_is_their_sum(monkeypatch):
    monkeypatch.setattr(time, "perf_counter", iter([10.0, 10.5, 12.5, 12.5, 16.5]).__next__)
    clock = StepClock(torch.device("cpu"))
    for phase in ("data", "student", "loss", "student"):
        clock.begin(phase)
    clock.end()
    seconds = clock.seconds()
    monkeypatch.undo()
    assert list(seconds) == ["step", "data", "student", "loss"]
    assert seconds == {"step": 6.5, "data": 0.5, "student": 6.0, "loss": 0.0}
