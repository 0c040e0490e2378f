"""What tests of runs share."""

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
