"""The data that the page's templates show: runs in groups, their reports, and the numbers derived from them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.runs import RunRecord
from pipeline.runs.compare import Comparison, MeanStd, RunScore
from pipeline.runs.compare.pictures import line_charts
from pipeline.runs.compare.scoring import ReportSplit
from pipeline.runs.report.chain import Link
from pipeline.runs.report.costs import StoreCost
from pipeline.runs.report.ground import Ground
from pipeline.runs.report.group import PageGroup, ranked
from pipeline.runs.report.swipe import Panel
from pipeline.suggestions import Suggestion
from rsmtdf_core.charts.curves import EXPLAINED, THRESHOLDS, TRUSTED, metric_keys
from rsmtdf_core.charts.lines import LineChart
from rsmtdf_core.charts.reliability import ReliabilityCurve
from rsmtdf_core.evaluation.report import EvaluationReport, cautions
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.words import shortened

_LONGEST = 60  # characters of a setting's value
_WORST = 10  # scenes in the table of the worst


class WorstScene(NamedTuple):
    """A scene with many errors: the share of wrong pixels of each group, the mean over its runs.

    Attributes:
        scene: id of the scene.
        pixels: number of labeled pixels.
        spreads: mean and deviation of each group; None if its reports have no scores of scenes.
    """

    scene: str
    pixels: int
    spreads: tuple[MeanStd | None, ...]


class TrainingRow(NamedTuple):
    """A measure at the end of training: the mean of the last ten logged lines, for each group.

    Attributes:
        name: the class or teacher.
        spreads: mean and deviation over the runs of each group; None if they did not log it.
    """

    name: str
    spreads: tuple[MeanStd | None, ...]


class Diagram(NamedTuple):
    """A reliability diagram.

    Attributes:
        title: which confidences it shows.
        curves: a curve for each group, in order.
    """

    title: str
    curves: tuple[ReliabilityCurve, ...]


class SettingRow(NamedTuple):
    """A config key that decides the result.

    Attributes:
        key: the dotted key.
        values: its value in each group; empty if a group does not have it.
    """

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class PageData:
    """Everything that the page shows.

    Attributes:
        comparison: the scores over seeds, with warnings.
        groups: in the order of the comparison.
        split: the split that was scored.
        chains: the origin of each run's scores, link by link, by the run's name.
        costs: the cost of stage one for the stores of all runs.
        ground: facts about the scored scenes from their files; None if the data are not at hand.
        suggestions: scenes to label next, from the folder of the best group's first run.
        panels: some scenes with their predictions.
        no_panels: the reason if there are none; otherwise empty.
    """

    comparison: Comparison
    groups: tuple[PageGroup, ...]
    split: ReportSplit
    chains: Mapping[str, tuple[Link, ...]]
    costs: tuple[StoreCost, ...]
    ground: Ground | None = None
    suggestions: tuple[Suggestion, ...] = ()
    panels: tuple[Panel, ...] = ()
    no_panels: str = ""

    @property
    def best(self) -> PageGroup:
        """The group with the highest mean IoU; the first of equal ones."""
        return ranked(self.groups)[0]

    @property
    def others(self) -> list[PageGroup]:
        """The other groups, from the highest mean IoU on."""
        return ranked(self.groups)[1:]

    @property
    def trained(self) -> list[RunRecord]:
        """The runs that were trained, without imported models."""
        return [record for record in self._records if not record.folder.imported]

    @property
    def imported(self) -> list[RunRecord]:
        """The imported models."""
        return [record for record in self._records if record.folder.imported]

    @property
    def supervised(self) -> bool:
        """Whether a run learns from labeled scenes alone: the baseline of all other methods."""
        methods = [record.config.method for record in self.trained if not record.distils]
        return any(not method.strong_views for method in methods)

    @property
    def unvalidated(self) -> bool:
        """Whether a training had no validation, so that its last model is the best."""
        return any(not record.validations for record in self.trained)

    @property
    def _records(self) -> list[RunRecord]:
        return [run.record for group in self.groups for run in group.runs]

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
    def worst_scenes(self) -> list[WorstScene]:
        """The scenes with the largest shares of wrong pixels, the mean over all runs; none in earlier reports."""
        pixels = {scene.scene: scene.pixels for scene in self.reports[0].scenes if scene.pixels}
        errors = [
            [
                {scene.scene: scene.error for scene in report.scenes if scene.pixels}
                for report in group.reports
            ]
            for group in self.groups
        ]
        rows = [
            WorstScene(
                name,
                count,
                tuple(MeanStd.of(by_scene.get(name) for by_scene in group) for group in errors),
            )
            for name, count in pixels.items()
        ]
        means = {
            row.scene: float(np.mean([spread.mean for spread in row.spreads if spread is not None]))
            for row in rows
        }
        worst = sorted(rows, key=lambda row: (-means[row.scene], row.scene))
        return [row for row in worst if means[row.scene] > 0][:_WORST]

    @property
    def diagrams(self) -> list[Diagram]:
        """Reliability of the groups as trained, and with temperatures if all of their runs have one."""
        return [
            Diagram(title, curves)
            for title, calibrated in (("as trained", False), ("with temperature", True))
            if (curves := self._curves(calibrated=calibrated))
        ]

    def _curves(self, *, calibrated: bool) -> tuple[ReliabilityCurve, ...]:
        curves = [group.reliability(calibrated=calibrated) for group in self.groups]
        known = tuple(curve for curve in curves if curve is not None)
        # Colors are those of the groups, so a diagram has all groups or none.
        return known if len(known) == len(curves) else ()

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
    def thresholds(self) -> list[TrainingRow]:
        """The self-adaptive threshold of each class at the end of training."""
        return self._training_rows(THRESHOLDS)

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
    def settings(self) -> list[SettingRow]:
        """The config keys that decide the results of the groups."""
        groups = [group.settings for group in self.groups]
        return [
            SettingRow(key, tuple(_text(group[key]) if key in group else "" for group in groups))
            for key in dict.fromkeys(key for group in groups for key in group)
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


def _text(value: object) -> str:
    return shortened(value if isinstance(value, str) else json.dumps(value), _LONGEST)
