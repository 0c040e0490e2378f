"""What a comparison comes to: groups of runs that differ in nothing but the seed, and their scores."""

import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from rsmtdf_core.settings import Settings


class RunScore(Settings):
    """What one run scores.

    Attributes:
        run: how it was named.
        path: its folder.
        seed: of the run.
        status: how its training ended, or that it did not.
        steps: steps trained.
        miou: in 0..1; None before the first validation.
        overall_accuracy: share of right pixels, in 0..1; None where it was not written down.
        best_steps: steps trained at the best validation.
        classes: IoU of each class, in 0..1; None where neither truth nor prediction has it.
    """

    run: str
    path: Path
    seed: int
    status: str
    steps: int
    miou: float | None
    overall_accuracy: float | None
    best_steps: int | None
    classes: dict[str, float | None]


class MeanStd(Settings):
    """Scores of several runs in two numbers.

    Attributes:
        mean: of the runs that have the score.
        std: the sample standard deviation (n - 1 below the line); None with fewer than two runs.
        runs: how many have the score.
    """

    mean: float
    std: float | None
    runs: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Self | None:
        """The spread of the values that are there; None where none is."""
        found = [one for one in values if one is not None]
        if not found:
            return None
        std = statistics.stdev(found) if len(found) > 1 else None
        return cls(mean=statistics.fmean(found), std=std, runs=len(found))


class GroupScores(Settings):
    """Runs of one configuration.

    Attributes:
        label: what tells it from the other groups.
        settings: the keys in which the groups differ, with this group's values.
        random_teachers: its teachers with random weights.
        runs: one for each seed, by seed.
        miou: mean and spread over them.
        overall_accuracy: the same.
        classes: the same of each class's IoU, in the order of the class ids.
    """

    label: str
    settings: dict[str, object]
    random_teachers: tuple[str, ...]
    runs: tuple[RunScore, ...]
    miou: MeanStd | None
    overall_accuracy: MeanStd | None
    classes: dict[str, MeanStd | None]

    @property
    def title(self) -> str:
        """Its label, with the words that no result of random weights may go without."""
        return f"{self.label} (RANDOM WEIGHTS)" if self.random_teachers else self.label

    @property
    def best_steps(self) -> str:
        """The steps at which its runs were best: a number, or from the first to the last."""
        found = sorted(one.best_steps for one in self.runs if one.best_steps is not None)
        if not found:
            return "-"
        return f"{found[0]:,}" if found[0] == found[-1] else f"{found[0]:,} to {found[-1]:,}"


class Comparison(Settings):
    """Groups side by side.

    Attributes:
        dataset: that all runs were trained on.
        measure: which scores these are, in words.
        groups: in the order in which their first runs were named.
        warnings: what makes the comparison less than fair, a sentence each.
    """

    dataset: str
    measure: str
    groups: tuple[GroupScores, ...]
    warnings: tuple[str, ...]
