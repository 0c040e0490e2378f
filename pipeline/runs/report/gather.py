"""Everything that the page tells, read and checked before a line of it is written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.reporter import Reporter
from pipeline.runs import RunRecord
from pipeline.runs.compare import Comparison, GroupScores, Spread, compare_groups
from pipeline.runs.compare.scoring import Scored, Split
from pipeline.runs.report.chain import Link, chain
from pipeline.runs.report.costs import Shelf, StoreCost
from pipeline.runs.report.swipe import Panel, make_panels
from rsmtdf_core.errors import RsmtdfError
from rsmtdf_core.evaluation.report import EvaluationReport


@dataclass(frozen=True)
class Member:
    """A run with its report and the chain behind it."""

    name: str
    record: RunRecord
    report: EvaluationReport
    chain: tuple[Link, ...]


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but the seed, and their scores together."""

    scores: GroupScores
    members: tuple[Member, ...]

    @property
    def label(self) -> str:
        """What tells it from the others."""
        return self.scores.title

    def miou(self, protocol: str) -> Spread | None:
        """The mean IoU over its runs by any protocol that all were scored by."""
        return Spread.of(one.report.by_protocol[protocol].scores.miou for one in self.members)


@dataclass(frozen=True)
class Material:
    """What the page is made of.

    Attributes:
        comparison: the scores over seeds, with warnings.
        groups: in the order of the comparison.
        split: that was scored.
        costs: what stage one spent on the stores of all runs.
        panels: of some scenes.
        no_panels: why there are none; empty where there are.
    """

    comparison: Comparison
    groups: tuple[Group, ...]
    split: Split
    costs: tuple[StoreCost, ...]
    panels: tuple[Panel, ...]
    no_panels: str

    @property
    def first(self) -> Member:
        """The first run: what all runs share is read from it."""
        return self.groups[0].members[0]

    @property
    def several_seeds(self) -> bool:
        """Whether any group has a spread."""
        return any(len(group.members) > 1 for group in self.groups)

    @property
    def protocols(self) -> dict[str, str]:
        """The rules in words: of the protocol of the scores, and of others that every run was scored by."""
        reports = [one.report for group in self.groups for one in group.members]
        return {
            name: one.protocol_description
            for name, one in reports[0].by_protocol.items()
            if name == reports[0].protocol or all(name in other.by_protocol for other in reports)
        }


def gather(
    paths: Sequence[Path], split: Split, scenes: int, root: Path | None, reporter: Reporter
) -> Material:
    """Read runs, reports and stores, and predict the scenes of the panels.

    Raises:
        RsmtdfError: where a run is damaged, was not scored on the split, or is of another dataset.
    """
    comparison, grouped = compare_groups(paths, split)
    comparison = _briefly_named(comparison)
    shelf = Shelf()
    groups = tuple(
        Group(scores, tuple(_members(scores, group.runs, shelf)))
        for scores, group in zip(comparison.groups, grouped, strict=True)
    )
    panels, why = _panels(groups, split, scenes, root, reporter)
    return Material(comparison, groups, split, shelf.costs, panels, why)


def _briefly_named(comparison: Comparison) -> Comparison:
    """Runs by the names of their folders where these are all different: a page is sent to others."""
    runs = [run for group in comparison.groups for run in group.runs]
    names = {run.path: run.path.resolve().name for run in runs}
    if len(set(names.values())) < len(runs):
        return comparison
    groups = (
        group.model_copy(
            update={
                "runs": tuple(run.model_copy(update={"run": names[run.path]}) for run in group.runs)
            }
        )
        for group in comparison.groups
    )
    return comparison.model_copy(update={"groups": tuple(groups)})


def _members(scores: GroupScores, runs: Sequence[Scored], shelf: Shelf) -> Iterator[Member]:
    for named, one in zip(scores.runs, runs, strict=True):
        assert one.report is not None, "runs of a split are scored by their reports"
        links = chain(one.record, named.run, one.report, shelf)
        yield Member(named.run, one.record, one.report, links)


def _panels(
    groups: Sequence[Group], split: Split, count: int, root: Path | None, reporter: Reporter
) -> tuple[tuple[Panel, ...], str]:
    if count == 0:
        return (), "none were asked for"
    # The first seed of each group: a choice that no score has a part in.
    shown = [(group.label, group.members[0].record) for group in groups]
    try:
        return tuple(make_panels(shown, split, count, root, reporter)), ""
    except RsmtdfError as error:
        # The scores stand without pictures: data may lie on another machine by now.
        reporter.warn(f"the page has no panels: {error.what} ({error.where})")
        return (), error.what
