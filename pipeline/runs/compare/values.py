"""The values of a comparison: groups of runs that differ only in seed and fold, and their scores."""

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from rsmtdf_core.settings import Settings
from rsmtdf_core.words import counted


class RunScore(Settings):
    """The score of a run.

    Attributes:
        run: name of the run.
        path: the run's folder.
        seed: seed of the run.
        fold: fold of the data; None without folds.
        status: status of the training.
        steps: number of trained steps.
        miou: mIoU in 0..1; None before the first validation.
        overall_accuracy: share of correct pixels, in 0..1; None if it was not recorded.
        best_steps: number of trained steps at the best validation.
        classes: IoU of each class, in 0..1; None if neither truth nor prediction has the class.
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
    fold: int | None = None


class MeanStd(Settings):
    """Mean and standard deviation of a score over runs.

    Attributes:
        mean: mean over the runs that have the score.
        std: sample standard deviation (denominator n - 1); None with fewer than two runs.
        runs: number of runs that have the score.
    """

    mean: float
    std: float | None
    runs: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Self | None:
        """Summarize the values that are not None; None if there are none."""
        numbers = [value for value in values if value is not None]
        if not numbers:
            return None
        std = statistics.stdev(numbers) if len(numbers) > 1 else None
        return cls(mean=statistics.fmean(numbers), std=std, runs=len(numbers))


class GroupScores(Settings):
    """The scores of runs with the same configuration.

    Attributes:
        label: text that distinguishes the group from the others.
        settings: the keys that differ between groups, with the values of this group.
        random_teachers: teachers with random weights.
        runs: scores of the runs, sorted by fold and seed.
        miou: mIoU over the runs.
        overall_accuracy: share of correct pixels over the runs.
        classes: IoU of each class over the runs, in the order of the class ids.
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
        """The label, with a warning if teachers have random weights."""
        return f"{self.label} (RANDOM WEIGHTS)" if self.random_teachers else self.label

    @property
    def seeds_text(self) -> str:
        """The number of seeds, and of folds if there are any."""
        seeds = len({run.seed for run in self.runs})
        folds = len({run.fold for run in self.runs} - {None})
        return f"{seeds} x {counted(folds, 'fold')}" if folds else str(seeds)

    @property
    def settings_text(self) -> str:
        """The settings in which the group differs from others, in a line."""
        return "; ".join(
            f"{key} {value if isinstance(value, str) else json.dumps(value)}"
            for key, value in self.settings.items()
        )

    @property
    def best_steps(self) -> str:
        """The steps of the best validations: a number or a range."""
        steps = sorted(run.best_steps for run in self.runs if run.best_steps is not None)
        if not steps:
            return "-"
        return f"{steps[0]:,}" if steps[0] == steps[-1] else f"{steps[0]:,} to {steps[-1]:,}"


class Comparison(Settings):
    """A comparison of groups of runs.

    Attributes:
        dataset: name of the dataset of all runs.
        measure: description of the scores.
        groups: the groups, in the order of their first runs.
        warnings: reasons why the comparison is unfair, one sentence each.
    """

    dataset: str
    measure: str
    groups: tuple[GroupScores, ...]
    warnings: tuple[str, ...]

    @property
    def has_more_settings(self) -> bool:
        """Whether groups may differ in settings that their short labels leave out."""
        return len({key for group in self.groups for key in group.settings}) > 1
