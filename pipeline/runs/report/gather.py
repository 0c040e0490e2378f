"""Collects and checks the data of the page before it is written."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.reporter import Reporter
from pipeline.runs.compare import Comparison, compare_groups
from pipeline.runs.compare.scoring import ReportSplit
from pipeline.runs.report.chain import chain
from pipeline.runs.report.costs import Shelf
from pipeline.runs.report.data import PageData, PageGroup
from pipeline.runs.report.swipe import Panel, make_panels
from rsmtdf_core.errors import RsmtdfError

_WORST = 2  # scenes with many errors that have panels


def gather(
    paths: Sequence[Path], split: ReportSplit, scenes: int, root: Path | None, reporter: Reporter
) -> PageData:
    """Read runs, reports and stores, and predict the scenes of the panels.

    Raises:
        RsmtdfError: If a run is damaged, was not scored on the split, or has another dataset.
    """
    comparison, grouped = compare_groups(paths, split)
    comparison = _briefly_named(comparison)
    groups = tuple(
        PageGroup(scores, group.runs)
        for scores, group in zip(comparison.groups, grouped, strict=True)
    )
    shelf = Shelf()
    chains = {
        named.run: chain(run.record, named.run, report, shelf)
        for group in groups
        for named, run, report in zip(group.scores.runs, group.runs, group.reports, strict=True)
    }
    page = PageData(comparison, groups, split, chains, shelf.costs, (), "")
    panels, why = _panels(page, scenes, root, reporter)
    return replace(page, panels=panels, no_panels=why)


def _briefly_named(comparison: Comparison) -> Comparison:
    """Name runs by their folders if these names are unique, because the page may be sent to others."""
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


def _panels(
    page: PageData,
    count: int,
    root: Path | None,
    reporter: Reporter,
) -> tuple[tuple[Panel, ...], str]:
    if count == 0:
        return (), "none were requested"
    # The first seed of each group, chosen without regard to scores.
    shown = [(group.label, group.runs[0].record) for group in page.groups]
    worst = [row.scene for row in page.worst_scenes[:_WORST]]
    try:
        return tuple(make_panels(shown, page.split, count, root, reporter, worst)), ""
    except RsmtdfError as error:
        # The scores are valid without pictures, and the data may be on another machine.
        reporter.warn(f"the page has no panels: {error.what} ({error.where})")
        return (), error.what
