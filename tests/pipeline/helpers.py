"""Helpers for the tests of runs."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pipeline.reporter import Silent
from rsmtdf_core.runs.checkpoint import newest_checkpoint
from rsmtdf_core.runs.folder import open_run

SUPERVISED = ("objective.method=supervised", "runtime.keep_checkpoints=9")


class Messages(Silent):
    """Records the messages to the user."""

    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)

    def warn(self, text):
        self.lines.append(f"warning: {text}")


class Killed(BaseException):
    """Ends a training at once, as a kill does."""


def everything(run: Path) -> dict:
    """Weights, moments and metric lines, without the time they took."""
    newest, warnings = newest_checkpoint(run / "checkpoints")
    assert not warnings
    state = {
        f"{which}.{name}": tensor
        for which in ("student", "ema", "optimiser")
        for name, tensor in load_file(newest.path / f"{which}.safetensors").items()
    }
    lines = open_run(run).read_metrics()
    for line in lines:
        line.pop("seconds", None)
    return {"weights": state, "lines": lines, "step": newest.state["step"]}


def assert_same(first: Path, second: Path) -> None:
    expected, other = everything(first), everything(second)
    assert expected["step"] == other["step"]
    assert expected["lines"] == other["lines"]
    assert expected["weights"].keys() == other["weights"].keys()
    for name, tensor in expected["weights"].items():
        assert torch.equal(tensor, other["weights"][name]), name


def near(values, expected, tolerance=1e-3):
    """Whether two mappings agree within rounding; None only agrees with itself."""
    missing = {name for name, value in expected.items() if value is None}
    numbers = {name: value for name, value in expected.items() if name not in missing}
    return missing == {name for name, value in values.items() if value is None} and {
        name: value for name, value in values.items() if value is not None
    } == pytest.approx(numbers, rel=tolerance, abs=tolerance)
