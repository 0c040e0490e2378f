"""Draws a comparison as two pictures: the curves of the trainings, and the scores of each seed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.runs import RunRecord
from pipeline.runs.compare.tables import spread_text
from pipeline.runs.compare.values import Comparison, GroupScores
from rsmtdf_core.charts.curves import metric_curve
from rsmtdf_core.charts.lines import LineChart, Series, lines_picture
from rsmtdf_core.charts.scores import ScoreRow, scores_picture

Runs = Sequence[Sequence[RunRecord]]
"""The runs of each group."""


def line_charts(groups: Sequence[GroupScores], runs: Runs) -> list[LineChart]:
    """Create charts of validation mIoU and of each loss, with a series for each group.

    Args:
        groups: their titles name the series.
        runs: behind the groups; their metrics are drawn, and their methods describe the losses.
    """
    records = [record for group in runs for record in group]
    losses = {name for run in records for line in run.lines for name in line if "loss" in name}
    units = {"loss": "each method's own sum"}
    for record in records:
        for phase in record.config.phases:
            units |= phase.method.losses
    return [
        LineChart("Validation mIoU", "percent", _series("miou", groups, runs, scale=100)),
        *(
            LineChart(name, units.get(name, "training loss"), _series(name, groups, runs))
            for name in sorted(losses)
        ),
    ]


def _series(
    metric: str, groups: Sequence[GroupScores], runs: Runs, *, scale: float = 1.0
) -> tuple[Series, ...]:
    return tuple(
        Series(
            group.title,
            number,
            tuple(metric_curve(record.lines, metric, scale=scale) for record in records),
        )
        for number, (group, records) in enumerate(zip(groups, runs, strict=True))
    )


def write_pictures(folder: Path, comparison: Comparison, runs: Runs) -> None:
    """Write curves.png and scores.png.

    Args:
        folder: for the files.
        comparison: its groups are drawn.
        runs: behind its groups.
    """
    groups = comparison.groups
    validation, *losses = line_charts(groups, runs)
    validation = replace(validation, note=f"on {comparison.dataset}")
    lines_picture(folder / "curves.png", [validation, *losses])
    axis = (
        f"{comparison.measure} on {comparison.dataset}, percent; mean ± sample standard deviation"
    )
    scores_picture(folder / "scores.png", [_row(group) for group in groups], axis)


def _row(group: GroupScores) -> ScoreRow:
    spread = group.miou
    return ScoreRow(
        name=f"{group.title}, n = {len(group.runs)}",
        scores=tuple(100 * run.miou for run in group.runs if run.miou is not None),
        mean=None if spread is None else 100 * spread.mean,
        std=0.0 if spread is None or spread.std is None else 100 * spread.std,
        text=spread_text(spread),
    )
