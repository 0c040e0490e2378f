"""What tests of runs share."""

import pytest

from pipeline.reporter import Silent

SUPERVISED = ("objective.method=supervised", "runtime.keep_checkpoints=9")


class Told(Silent):
    """Records the messages to the user."""

    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)

    def warn(self, text):
        self.lines.append(f"warning: {text}")


def near(values, expected, tolerance=1e-3):
    """Whether two mappings agree within rounding; None only agrees with itself."""
    missing = {name for name, value in expected.items() if value is None}
    numbers = {name: value for name, value in expected.items() if name not in missing}
    return missing == {name for name, value in values.items() if value is None} and {
        name: value for name, value in values.items() if value is not None
    } == pytest.approx(numbers, rel=tolerance, abs=tolerance)
