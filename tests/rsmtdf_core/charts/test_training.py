"""The picture of a run: its losses and mIoU, for short and long runs, and refused without a number to draw."""

import math
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("metrics", [[], [{"step": 1, "lr": 0.1}], [{"loss": 1.0}]])
def test_curves_without_a_number_to_draw_are_refused(
    tmp_path: Path, metrics: list[dict[str, object]]
) -> None:
    with pytest.raises(RunError, match="no loss or mIoU"):
        curves_picture(tmp_path / "c.png", metrics)
    assert not list(tmp_path.iterdir())
