"""Collects and checks the data of the page before it is written."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.reporter import Reporter
from pipeline.runs.compare import Comparison, compare_groups
from pipeline.runs.compare.scoring import ReportSplit
from pipeline.runs.report.chain import chain
from pipeline.runs.report.costs import Shelf
from pipeline.runs.report.data import PageData
from pipeline.runs.report.ground import ground
from pipeline.runs.report.group import PageGroup
from pipeline.runs.report.swipe import make_panels
from pipeline.suggestions import read_suggestions
from rsmtdf_core.errors import RsmtdfError
from rsmtdf_core.evaluation.scoring import scored_scenes
from rsmtdf_core.scenes.find import find_scenes

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
    page = PageData(comparison, groups, split, chains, shelf.costs)
    suggestions = read_suggestions(page.best.runs[0].record.folder.suggestions)
    return _with_scenes(replace(page, suggestions=suggestions), scenes, root, reporter)


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
    warnings = list(comparison.warnings)
    # Longer paths first, because one may begin with another.
    for run in sorted(runs, key=lambda run: -len(run.run)):
        warnings = [text.replace(run.run, names[run.path]) for text in warnings]
    return comparison.model_copy(update={"groups": tuple(groups), "warnings": tuple(warnings)})


def _with_scenes(page: PageData, count: int, root: Path | None, reporter: Reporter) -> PageData:
    """Add facts about the scored scenes, and `count` evenly spaced ones as panels, if the data are at hand."""
    # The first seed of each group, chosen without regard to scores.
    shown = [(group.label, group.runs[0].record) for group in page.groups]
    first = shown[0][1]
    worst = [row.scene for row in page.worst_scenes[:_WORST]] if count else []
    try:
        dataset = find_scenes(first.manifest, root or first.config.data.root)
        scenes = scored_scenes(dataset.splits.get(page.split, ()))
        page = replace(page, ground=ground(dataset, page.split, scenes))
        if not count:
            return replace(page, no_panels="none were requested")
        panels = make_panels(shown, dataset, scenes, count, reporter, worst)
        return replace(page, panels=tuple(panels))
    except RsmtdfError as error:
        # The scores are valid without pictures, and the data may be on another machine.
        if count:
            reporter.warn(f"the page has no panels: {error.what} ({error.where})")
        return replace(page, no_panels=error.what)
