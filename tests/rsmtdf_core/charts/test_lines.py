"""Line charts: every point is inside, ticks differ, means are drawn at steps that all runs have."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsmtdf_core.charts import lines
from rsmtdf_core.charts.lines import LineChart, Series, lines_picture, lines_svg
from tests.pictures import assert_margin_is_white, pixels

numbers = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 6))
curves = st.dictionaries(st.integers(1, 10**6), numbers, min_size=1, max_size=70)


@pytest.fixture
def drawn(monkeypatch):
    """The axes of every chart that is drawn."""
    axes = []
    draw = lines._draw
    monkeypatch.setattr(
        lines, "_draw", lambda *given, **look: (axes.append(given[0]), draw(*given, **look))[1]
    )
    return axes


def chart_of(*groups, unit="a step") -> LineChart:
    series = (Series(f"group {n}", n, tuple(curves)) for n, curves in enumerate(groups))
    return LineChart("loss", unit, tuple(series))


def levels(axes) -> list[str]:
    low, high = axes.get_ylim()
    ticks = axes.get_yticks()
    form = axes.yaxis.get_major_formatter()
    return [form(tick) for tick in ticks if low <= tick <= high]


@settings(max_examples=30)
@given(st.lists(curves, min_size=1, max_size=3))
def test_every_point_is_inside_the_chart_and_levels_differ(groups):
    with pytest.MonkeyPatch.context() as patch:
        axes = []
        draw = lines._draw
        patch.setattr(
            lines, "_draw", lambda *given, **look: (axes.append(given[0]), draw(*given, **look))[1]
        )
        lines_svg(chart_of(*([sorted(curve.items())] for curve in groups)))
    [plot] = axes
    low, high = plot.get_ylim()
    left, right = plot.get_xlim()
    for curve in groups:
        assert all(left <= step <= right for step in curve)
        assert all(low <= value <= high for value in curve.values())
    assert len(set(levels(plot))) == len(levels(plot)) >= 2


@pytest.mark.parametrize("value", [0.0, 0.1, 1.820312, 1e-13, 3e6])
def test_a_flat_curve_has_a_level_line_and_no_loss_below_zero(drawn, value):
    lines_svg(chart_of([[(step, value) for step in range(1, 101)]]))
    [axes] = drawn
    assert np.ptp(axes.lines[-1].get_ydata()) <= 1e-9 * value
    assert axes.get_ylim()[0] >= 0
    assert len(set(levels(axes))) == len(levels(axes)) > 1


@pytest.mark.parametrize(
    ("values", "below"), [((0.0, 1.0), False), ((0.01, 9.0), False), ((-1.0, 1.0), True)]
)
def test_the_axis_goes_below_zero_for_values_below_zero_alone(drawn, values, below):
    lines_svg(chart_of([list(enumerate(values, 1))]))
    assert (drawn[0].get_ylim()[0] < 0) == below


def test_tiny_values_have_levels_that_differ(drawn):
    lines_svg(chart_of([[(1, 0.0), (2, 1e-13)]]))
    assert len(set(levels(drawn[0]))) == len(levels(drawn[0])) > 1


def test_long_curves_are_drawn_as_their_running_mean_without_dots(drawn):
    zigzag = [(step, float(step % 2)) for step in range(1, 601)]
    lines_svg(chart_of([zigzag]))
    values, mean = drawn[0].lines
    assert np.ptp(values.get_ydata()) == 1
    assert values.get_alpha() < 0.5
    inner = mean.get_ydata()[20:-20]
    assert 0.4 <= inner.min() <= inner.max() <= 0.6
    assert mean.get_marker() == "None"


def test_a_group_has_a_mean_over_common_steps_and_each_whole_run(drawn):
    short = [(10, 1.0), (20, 2.0)]
    whole = [(10, 3.0), (20, 4.0), (30, 9.0)]
    lines_svg(chart_of([short, whole, []]))
    first, second, mean = drawn[0].lines
    assert first.get_xydata().tolist() == [[10, 1], [20, 2]]
    assert second.get_xydata().tolist() == [[10, 3], [20, 4], [30, 9]]
    assert mean.get_xydata().tolist() == [[10, 2], [20, 3]]
    assert mean.get_linewidth() > first.get_linewidth()
    assert len(drawn[0].collections) == 1, "one band of a standard deviation"


def test_runs_without_a_common_step_are_drawn_without_a_mean(drawn):
    lines_svg(chart_of([[(1, 1.0)], [(2, 2.0)]]))
    assert [len(line.get_xdata()) for line in drawn[0].lines] == [1, 1, 0]


def test_groups_differ_in_color_or_dash(drawn):
    lines_svg(chart_of(*([[(1, 1.0), (2, float(n))]] for n in range(24))))
    styles = {(line.get_color(), line.get_linestyle()) for line in drawn[0].lines}
    assert len(styles) == 24


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize(
    "name", ["short", "a name of a group that is far longer than its chart " * 3]
)
def test_pictures_of_any_number_of_charts_stay_within_the_margin(tmp_path: Path, count, name):
    series = tuple(Series(f"{name} {n}", n, ([(1, 1.0), (2, 2.0)],)) for n in range(3))
    charts = [LineChart(f"loss {n}", "a step", series, "best 2") for n in range(count)]
    lines_picture(tmp_path / "lines.png", charts)
    assert_margin_is_white(pixels(tmp_path / "lines.png"))


def test_charts_without_a_point_are_drawn_empty(tmp_path: Path, drawn):
    lines_picture(tmp_path / "lines.png", [LineChart("mIoU", "", (Series("a", 0, ((),)),))])
    assert not drawn[0].lines


def test_many_long_curves_take_bounded_points_and_one_entry_of_the_legend(drawn, tmp_path):
    long = [(step, step % 7) for step in range(1, 2001)]
    chart = LineChart("loss", "a step", tuple(Series(f"n{n}", n, (long,)) for n in range(130)))
    lines_picture(tmp_path / "many.png", [chart])
    [axes] = drawn
    points = sum(len(line.get_xdata()) for line in axes.lines)
    assert points < 2.5 * lines._MOST_POINTS["png"]
    assert list(lines._legend([chart]).values())[-1] == "106 others"
    assert max(pixels(tmp_path / "many.png").shape) < 2500


def test_a_floor_cuts_the_axis_and_not_the_values(drawn):
    chart = LineChart(
        "share", "%", (Series("a", 0, ([(1, -9e5), (2, 10.0), (3, 50.0)],)),), "", -25
    )
    lines_svg(chart)
    low, high = drawn[0].get_ylim()
    assert low == -25
    assert 50 < high < 60
    lines_svg(LineChart("share", "%", (Series("a", 0, ([(1, 2.0), (2, 3.0)],)),), "", -25))
    assert drawn[1].get_ylim()[0] >= 0
    lines_svg(LineChart("share", "%", (Series("a", 0, ([(1, -90.0), (2, -40.0)],)),), "", -25))
    low, high = drawn[2].get_ylim()
    assert low <= -90 < -40 <= high
