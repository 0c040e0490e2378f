import time

import torch

from rsmtdf_core.training.clock import StepClock


def test_phases_that_come_again_are_added_up_and_the_step_is_their_sum():
    clock = StepClock(torch.device("cpu"))
    for phase, seconds in (("data", 0.01), ("student", 0.03), ("loss", 0.0), ("student", 0.03)):
        clock.begin(phase)
        time.sleep(seconds)
    clock.end()
    found = clock.seconds()
    assert list(found) == ["step", "data", "student", "loss"]
    assert found["student"] >= 0.06
    assert found["data"] >= 0.01
    assert abs(found["step"] - found["data"] - found["student"] - found["loss"]) < 1e-9
