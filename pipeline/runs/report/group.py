"""Runs that differ only in the seed, with the numbers that the page shows of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
import numpy.typing as npt

from pipeline.runs.compare import GroupScores, MeanStd
from pipeline.runs.compare.groups import deciding_settings
from pipeline.runs.compare.scoring import ScoredRun
from pipeline.runs.report.figures import ConfusionRow, ScoreBar, confusion_rows
from rsmtdf_core.charts.curves import metric_curve
from rsmtdf_core.charts.reliability import ReliabilityCurve
from rsmtdf_core.evaluation.reliability import Reliability
from rsmtdf_core.evaluation.report import EvaluationReport

_LAST = 10  # logged lines whose mean is the value at the end of training
_UNTRAINED = ("student.", "evaluation.", "initial")  # settings of imported models


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
        return confusion_rows(self.matrix, self.class_names)

    @property
    def matrix(self) -> npt.NDArray[np.int64]:
        """The pixel counts of its runs added up, int64 [C, C], with a row for each true class."""
        matrices = np.array([report.confusion for report in self.reports], np.int64)
        return np.asarray(matrices.sum(axis=0))

    @property
    def settings(self) -> Mapping[str, object]:
        """The config keys that decide its result; of an imported model only those of the student and its scores."""
        record = self.runs[0].record
        return {
            key: value
            for key, value in deciding_settings(record).items()
            if key.startswith(_UNTRAINED)
            or not (record.folder.imported or key.startswith("manifest."))
        }

    def at_the_end(self, metric: str, key: str) -> MeanStd | None:
        """The value of a metric of a class or teacher at the end of training, over its runs."""
        curves = (metric_curve(run.record.lines, metric, key)[-_LAST:] for run in self.runs)
        return MeanStd.of(
            float(np.mean([value for _, value in curve])) if curve else None for curve in curves
        )

    def miou(self, protocol: str) -> MeanStd | None:
        """The mean IoU over its runs by any protocol by which all were scored."""
        return MeanStd.of(report.by_protocol[protocol].scores.miou for report in self.reports)

    def ece(self, *, calibrated: bool) -> MeanStd | None:
        """The calibration error of its runs, as trained or with their temperatures; None if any has none."""
        return MeanStd.of(entry.ece for entry in self._reliabilities(calibrated=calibrated))

    def reliability(self, *, calibrated: bool) -> ReliabilityCurve | None:
        """Accuracy by confidence, the pixels of its runs added up; None if any has none."""
        entries = self._reliabilities(calibrated=calibrated)
        if not entries:
            return None
        rows = [[(b.pixels, b.confidence, b.accuracy) for b in entry.bins] for entry in entries]
        pixels, *shares = np.moveaxis(np.array(rows), 2, 0)
        total = pixels.sum(axis=0)
        means = [(pixels * share).sum(axis=0) / np.maximum(total, 1) for share in shares]
        return ReliabilityCurve(self.label, total.tolist(), means[0].tolist(), means[1].tolist())

    def _reliabilities(self, *, calibrated: bool) -> list[Reliability]:
        """The reliability of each of its runs; empty if any has none."""
        reports = self.reports
        if any(len(report.reliability) <= calibrated for report in reports):
            return []
        return [report.reliability[calibrated] for report in reports]

    def bar(self, class_name: str) -> ScoreBar:
        """The IoU of a class."""
        return ScoreBar(self.scores.classes[class_name])


def ranked(groups: Sequence[PageGroup]) -> list[PageGroup]:
    """Sort groups from the highest mean IoU on; groups without one are last."""
    return sorted(groups, key=lambda group: -group.scores.miou.mean if group.scores.miou else inf)
