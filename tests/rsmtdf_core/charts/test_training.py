"""The picture of a run: its losses and mIoU, for short and long runs, and refused without a number to draw."""

import math
from pathlib import Path

import pytest

from rsmtdf_core.charts import training
from rsmtdf_core.charts.training import curves_picture
from rsmtdf_core.errors import RunError
from tests.pictures import assert_margin_is_white, pixels


def draw_metrics(steps: int) -> list[dict[str, object]]:
    return [
        {"step": i, "loss": 1 / (i + 1), "loss_distill": math.nan if i == 3 else 0.5, "note": "x"}
        for i in range(steps)
    ]


@pytest.mark.parametrize("steps", [1, 5, 300])
def test_curves_of_short_and_long_runs_are_drawn(tmp_path: Path, steps: int) -> None:
    curves_picture(tmp_path / "loss.png", draw_metrics(steps))
    scored = [*draw_metrics(steps), {"step": 10**6, "miou_ema": 0.71, "miou_student": 0.7}]
    curves_picture(tmp_path / "both.png", scored)
    alone, both = pixels(tmp_path / "loss.png"), pixels(tmp_path / "both.png")
    assert_margin_is_white(alone)
    assert_margin_is_white(both)
    assert both.shape[1] > 1.8 * alone.shape[1]


def test_shares_by_class_and_teacher_have_a_chart_each(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(training, "lines_picture", lambda _, charts: drawn.extend(charts))
    lines = [
        {
            "step": step,
            "loss": 1.0,
            "loss_x": 2.0,
            "trusted": 0.25,
            "trusted_by_class": {f"class {n}": n / 20 if step else None for n in range(20)},
            "threshold_by_class": {"road": 0.5, "water": 0.25},
            "explained_variance": {"dino": -70.0 if step == 0 else 0.5},
        }
        for step in range(3)
    ]
    earlier = [{"step": 0, "loss": 3.0, "trusted": 0.5}]
    curves_picture(tmp_path / "c.png", earlier + lines, {"loss_x": "labeled"})
    loss, trusted, explained, thresholds = drawn
    assert [series.name for series in loss.series] == ["loss", "loss_x: labeled"]
    assert [series.name for series in trusted.series] == [
        "trusted, all pixels",
        *(f"trusted, class {number}" for number in range(8)),
    ]
    assert trusted.note == "the 8 least trusted of 20 classes"
    assert trusted.series[2].curves == ([(2, 5.0), (3, 5.0)],)
    assert [series.name for series in thresholds.series] == ["threshold, road", "threshold, water"]
    assert thresholds.series[1].curves == ([(1, 25.0), (2, 25.0), (3, 25.0)],)
    assert explained.series[0].curves == ([(1, -7000.0), (2, 50.0), (3, 50.0)],)
    assert explained.floor == training.EXPLAINED_FLOOR
    numbers = [series.number for chart in drawn for series in chart.series]
    assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize("metrics", [[], [{"step": 1, "lr": 0.1}], [{"loss": 1.0}]])
def test_curves_without_a_number_to_draw_are_refused(
    tmp_path: Path, metrics: list[dict[str, object]]
) -> None:
    with pytest.raises(RunError, match="no loss or mIoU"):
        curves_picture(tmp_path / "c.png", metrics)
    assert not list(tmp_path.iterdir())
