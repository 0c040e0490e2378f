"""Warnings about a training that does not learn from its unlabeled scenes or its teachers."""

from pipeline.config import ExperimentConfig
from pipeline.reporter import Reporter
from rsmtdf_core.training.meter import Measures
from rsmtdf_core.words import counted

# A student that predicts the mean of a teacher's tokens explains 0.
_NEAR_ZERO = 0.01
# Heads and translators start from random weights, so a few steps prove little.
_LEAST_STEPS = {"pseudo-labels": 20, "teacher": 100}


class Watch:
    """Warn once if no pixel is trusted for an epoch, and once for each teacher whose tokens stay unexplained.

    An epoch has at least 20 steps for pixels, and at least 100 for teachers. An explained variance of at most 0.01
    counts as unexplained. Only the steps of this session count.

    Args:
        config: the config of the training.
        steps_per_epoch: steps of an epoch.
        reporter: shows the warnings.
    """

    def __init__(self, config: ExperimentConfig, steps_per_epoch: int, reporter: Reporter) -> None:
        self._config = config
        self._epoch = steps_per_epoch
        self._reporter = reporter
        self._since: dict[str, int] = {}
        self._warned: set[str] = set()

    def step(self, step: int, measures: Measures) -> None:
        """Take the means of the interval that ends with `step`, counted from 0."""
        stop = step + 1
        start = stop - measures.steps
        if shares := [share for share in measures.trusted if share is not None]:
            steps = self._low("pseudo-labels", start, stop, low=max(shares) == 0)
            if steps >= max(self._epoch, _LEAST_STEPS["pseudo-labels"]):
                self._warn("pseudo-labels", self._untrusted(steps))
        for teacher, share in measures.explained.items():
            name = f"teacher {teacher}"
            steps = self._low(name, start, stop, low=share <= _NEAR_ZERO)
            if steps >= max(self._epoch, _LEAST_STEPS["teacher"]):
                self._warn(name, self._unexplained(teacher, share, steps))

    def _low(self, name: str, start: int, stop: int, *, low: bool) -> int:
        """Return the number of steps in a row for which a measure has been low."""
        since = self._since.setdefault(name, start)
        if not low:
            self._since[name] = since = stop
        return stop - since

    def _warn(self, name: str, sentence: str) -> None:
        if name not in self._warned:
            self._warned.add(name)
            self._reporter.warn(sentence)

    def _untrusted(self, steps: int) -> str:
        objective = self._config.objective
        confidence = getattr(objective, "confidence", None)
        now = f" (now {confidence:g})" if isinstance(confidence, float) else ""
        remedy = f"lower objective.confidence{now}"
        if getattr(objective, "thresholds", "fixed") != "fixed":
            remedy = "set objective.thresholds: fixed with a low objective.confidence"
        return (
            f"no pixel was trusted in the last {counted(steps, 'step')}, an epoch or more, so pseudo-labels have no "
            f"effect; if this does not change, {remedy}"
        )

    def _unexplained(self, teacher: str, share: float, steps: int) -> str:
        rates = self._config.optimiser
        return (
            f"the student explains {100 * share:.1f} % of the variance of {teacher}'s tokens, and no more than "
            f"{100 * _NEAR_ZERO:.0f} % in the last {counted(steps, 'step')}, so distillation has little effect; if "
            f"this does not change, raise optimiser.lr (now {rates.lr:g}) or optimiser.multiplier (now "
            f"{rates.multiplier:g})"
        )
