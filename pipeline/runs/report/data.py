"""The data that the page's templates show: runs in groups, their reports, and the numbers derived from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.runs.compare import Comparison, GroupScores, MeanStd, RunScore
from pipeline.runs.compare.pictures import line_charts
from pipeline.runs.compare.scoring import ReportSplit, ScoredRun
from pipeline.runs.report.chain import Link
from pipeline.runs.report.costs import StoreCost
from pipeline.runs.report.figures import ConfusionRow, ScoreBar, confusion_rows
from pipeline.runs.report.swipe import Panel
from rsmtdf_core.charts.curves import EXPLAINED, TRUSTED, metric_curve, metric_keys
from rsmtdf_core.charts.lines import LineChart
from rsmtdf_core.evaluation.report import EvaluationReport, cautions
from rsmtdf_core.scenes.manifest import Manifest

_LAST = 10  # logged lines whose mean is the value at the end of training


class TrainingRow(NamedTuple):
    """A measure at the end of training: the mean of the last ten logged lines, for each group.

    Attributes:
        name: the class or teacher.
        spreads: mean and deviation over the runs of each group; None if they did not log it.
    """

    name: str
    spreads: tuple[MeanStd | None, ...]


@dataclass(frozen=True)
class PageGroup:
    """Runs that differ only in the seed, and their scores."""

    scores: GroupScores
    runs: tuple[ScoredRun, ...]

    @property
    def label(self) -> str:
        """The group's name, with a warning if teachers are random."""
        return self.scores.title

    @property
    def seeds(self) -> int:
        """How many seeds its runs have."""
        return len({run.seed for run in self.scores.runs})

    @property
    def class_names(self) -> list[str]:
        """The classes, by id."""
        return [score.name for score in self.reports[0].scores.classes]

    @property
    def reports(self) -> list[EvaluationReport]:
        """The report of each run: runs of a split are scored by their reports."""
        return [run.report for run in self.runs if run.report is not None]

    @property
    def confusion(self) -> list[ConfusionRow]:
        """The confusion matrix, the pixels of its runs added up."""
        matrix = np.sum([report.matrix for report in self.reports], axis=0)
        return confusion_rows(matrix, self.class_names)

    def at_the_end(self, metric: str, key: str) -> MeanStd | None:
        """The value of a metric of a class or teacher at the end of training, over its runs."""
        curves = (metric_curve(run.record.lines, metric, key)[-_LAST:] for run in self.runs)
        return MeanStd.of(
            float(np.mean([value for _, value in curve])) if curve else None for curve in curves
        )

    def miou(self, protocol: str) -> MeanStd | None:
        """The mean IoU over its runs by any protocol by which all were scored."""
        return MeanStd.of(report.by_protocol[protocol].scores.miou for report in self.reports)

    def bar(self, class_name: str) -> ScoreBar:
        """The IoU of a class."""
        return ScoreBar(self.scores.classes[class_name])


@dataclass(frozen=True)
class PageData:
    """Everything that the page shows.

    Attributes:
        comparison: the scores over seeds, with warnings.
        groups: in the order of the comparison.
        split: the split that was scored.
        chains: the origin of each run's scores, link by link, by the run's name.
        costs: the cost of stage one for the stores of all runs.
        panels: some scenes with their predictions.
        no_panels: the reason if there are none; otherwise empty.
    """

    comparison: Comparison
    groups: tuple[PageGroup, ...]
    split: ReportSplit
    chains: Mapping[str, tuple[Link, ...]]
    costs: tuple[StoreCost, ...]
    panels: tuple[Panel, ...]
    no_panels: str

    @property
    def scores(self) -> list[RunScore]:
        """The scores of each run."""
        return [run for group in self.comparison.groups for run in group.runs]

    @property
    def reports(self) -> list[EvaluationReport]:
        """The reports of all groups; facts that all runs share are read from the first."""
        return [report for group in self.groups for report in group.reports]

    @property
    def manifest(self) -> Manifest:
        """The dataset's manifest."""
        return self.groups[0].runs[0].record.manifest

    @property
    def open_chain(self) -> str:
        """The run whose chain is open at first: a run that reads stores, if there is one."""
        reading = (
            run for run, links in self.chains.items() if any(link.step == "store" for link in links)
        )
        return next(reading, next(iter(self.chains)))

    @property
    def several_seeds(self) -> bool:
        """Whether any group has a spread."""
        return any(len(group.runs) > 1 for group in self.groups)

    @property
    def first_seeds(self) -> list[int]:
        """The seeds whose predictions are shown."""
        return sorted({group.runs[0].record.config.seed for group in self.groups})

    @property
    def random_teachers(self) -> list[str]:
        """Teachers that were never trained."""
        return sorted({name for group in self.groups for name in group.scores.random_teachers})

    @property
    def alarms(self) -> list[str]:
        """Sentences without which no score may be shown."""
        return list(cautions(self.random_teachers, ()))

    @property
    def warnings(self) -> list[str]:
        """The reasons why the comparison is unfair, without the alarms."""
        return [text for text in self.comparison.warnings if text not in self.alarms]

    @property
    def notes(self) -> list[str]:
        """How scenes were split and labeled, and which crops each protocol scored."""
        scored = [
            f"protocol {name} scored {scores.crops}"
            for report in self.reports
            for name, scores in report.by_protocol.items()
            if name in self.protocols and scores.crops
        ]
        notes = [note for report in self.reports for note in report.notes]
        return list(dict.fromkeys([*scored, *notes]))

    @property
    def charts(self) -> list[LineChart]:
        """Curves of the trainings; without points if the runs were imported."""
        scores = [group.scores for group in self.groups]
        return line_charts(scores, [[run.record for run in group.runs] for group in self.groups])

    @property
    def trusted(self) -> list[TrainingRow]:
        """The share of trusted pseudo-labels of each class at the end of training."""
        return self._training_rows(TRUSTED)

    @property
    def explained(self) -> list[TrainingRow]:
        """The explained variance of each teacher's tokens at the end of training."""
        return self._training_rows(EXPLAINED)

    def _training_rows(self, metric: str) -> list[TrainingRow]:
        lines = [run.record.lines for group in self.groups for run in group.runs]
        names = dict.fromkeys(name for of_run in lines for name in metric_keys(of_run, metric))
        return [
            TrainingRow(name, tuple(group.at_the_end(metric, name) for group in self.groups))
            for name in names
        ]

    @property
    def protocols(self) -> dict[str, str]:
        """The rules in words: of the scores' protocol, and of others by which every run was scored."""
        first = self.reports[0]
        return {
            name: scores.protocol_description
            for name, scores in first.by_protocol.items()
            if name == first.protocol or all(name in report.by_protocol for report in self.reports)
        }
