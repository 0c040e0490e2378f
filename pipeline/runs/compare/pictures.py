"""Draws a comparison as two pictures: the curves of the trainings, and the scores of each seed."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from pathlib import Path

from pipeline.runs import RunRecord
from pipeline.runs.compare.tables import spread_text
from pipeline.runs.compare.values import Comparison, GroupScores
from rsmtdf_core.charts.curves import EXPLAINED, metric_curve, metric_keys
from rsmtdf_core.charts.lines import LineChart, Series, lines_picture
from rsmtdf_core.charts.scores import ScoreRow, scores_picture
from rsmtdf_core.charts.style import STYLES
from rsmtdf_core.charts.training import EXPLAINED_FLOOR

Runs = Sequence[Sequence[RunRecord]]
"""The runs of each group."""


def line_charts(
    groups: Sequence[GroupScores], runs: Runs, numbers: Sequence[int] | None = None
) -> list[LineChart]:
    """Create charts of validation mIoU, of each loss, of trusted pixels, and of each teacher's explained variance.

    Args:
        groups: their titles name the series; each has a series in every chart.
        runs: behind the groups; their metrics are drawn, and their methods describe the losses.
        numbers: the number of each group's style; None numbers them in order.
    """
    records = [record for group in runs for record in group]
    losses = {name for run in records for line in run.lines for name in line if "loss" in name}
    teachers = dict.fromkeys(name for run in records for name in metric_keys(run.lines, EXPLAINED))
    units = {"loss": "each method's own sum"}
    for record in records:
        for phase in record.config.phases:
            units |= phase.method.losses
    styles = range(len(groups)) if numbers is None else numbers

    def series(metric: str, key: str | None = None, scale: float = 1.0) -> tuple[Series, ...]:
        return tuple(
            Series(
                group.title,
                number,
                tuple(
                    metric_curve(record.lines, metric, key, scale=scale) for record in group_runs
                ),
            )
            for number, group, group_runs in zip(styles, groups, runs, strict=True)
        )

    charts = [LineChart("Validation mIoU", "percent", series("miou", scale=100))]
    charts += [
        LineChart(name, units.get(name, "training loss"), series(name)) for name in sorted(losses)
    ]
    trusted = LineChart("Trusted pseudo-labels", "percent of pixels", series("trusted", scale=100))
    charts += [trusted] if trusted.points else []
    charts += [
        LineChart(
            f"Explained variance, {name}",
            "percent",
            series(EXPLAINED, name, 100),
            floor=EXPLAINED_FLOOR,
        )
        for name in teachers
    ]
    return charts


def write_pictures(folder: Path, comparison: Comparison, runs: Runs) -> None:
    """Write curves.png and scores.png.

    Args:
        folder: for the files.
        comparison: its groups are drawn.
        runs: behind its groups.
    """
    groups = comparison.groups
    validation, *others = line_charts(groups, runs, _ranks(groups))
    validation = replace(validation, note=f"on {comparison.dataset}")
    lines_picture(folder / "curves.png", [validation, *others])
    axis = (
        f"{comparison.measure} on {comparison.dataset}, percent; mean ± sample standard deviation"
    )
    scores_picture(folder / "scores.png", [_row(group) for group in groups], axis)


def _ranks(groups: Sequence[GroupScores]) -> Sequence[int]:
    """Number the groups in order; if there are more than styles, the best first, as in scores.png."""
    if len(groups) <= STYLES:
        return range(len(groups))
    means = [-inf if group.miou is None else group.miou.mean for group in groups]
    order = sorted(range(len(groups)), key=lambda index: -means[index])
    return [order.index(index) for index in range(len(groups))]


def _row(group: GroupScores) -> ScoreRow:
    spread = group.miou
    return ScoreRow(
        name=f"{group.title}, n = {len(group.runs)}",
        scores=tuple(100 * run.miou for run in group.runs if run.miou is not None),
        mean=None if spread is None else 100 * spread.mean,
        std=0.0 if spread is None or spread.std is None else 100 * spread.std,
        text=spread_text(spread),
    )
