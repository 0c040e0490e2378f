"""Charts and markup by themselves: every text is escaped, every point is inside, ticks are round."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.runs.report.charts import Series, line_chart
from pipeline.runs.report.markup import Html, element, joined, table
from rsmtdf_core.evaluation.curves import metric_curve

numbers = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 6))
curves = st.lists(st.tuples(st.integers(1, 10**6), numbers), min_size=1, max_size=70)


@given(curves)
def test_every_point_lies_inside_the_chart(curve):
    points = sorted(dict(curve).items())
    drawn = line_chart("loss", [Series(0, (points,))], "per step")
    (line,) = re.findall(r'points="([^"]+)"', drawn)
    places = [tuple(map(float, pair.split(","))) for pair in line.split(" ")]
    assert len(places) == len(points)
    for x, y in places:
        assert 52 <= x <= 506
        assert 12 <= y <= 240
    levels = re.findall(r'class="axis end">(-?[\d.e+-]+)</text>', drawn)
    assert 2 <= len(levels) <= 9


def test_higher_values_stand_higher_and_later_ones_further_right():
    drawn = line_chart("mIoU", [Series(1, ([(10, 1.0), (20, 3.0)],))], "per cent")
    (line,) = re.findall(r'points="([^"]+)"', drawn)
    (x0, y0), (x1, y1) = (map(float, pair.split(",")) for pair in line.split(" "))
    assert x1 > x0
    assert y1 < y0
    assert 'class="ink1 dash0"' in drawn


@pytest.mark.parametrize("value", [0.0, 0.1, 1.820312, 1e-13, 3e6])
def test_a_flat_curve_has_a_chart(value):
    drawn = line_chart("loss", [Series(0, ([(step, value) for step in range(1, 101)],))], "a step")
    heights = {pair.split(",")[1] for pair in re.findall(r'points="([^"]+)"', drawn)[0].split(" ")}
    assert len(heights) == 1
    levels = re.findall(r'class="axis end">(-?[\d.e+-]+)</text>', drawn)
    assert min(map(float, levels)) >= 0, "no loss is below"


def test_values_next_to_nothing_have_a_chart():
    drawn = line_chart("loss", [Series(0, ([(1, 0.0), (2, 1e-13)],))], "a step")
    levels = re.findall(r'class="axis end">(-?[\d.e+-]+)</text>', drawn)
    assert len(set(levels)) == len(levels) > 1


def test_long_curves_are_smoothed_and_have_no_dots():
    zigzag = [(step, float(step % 2)) for step in range(1, 601)]
    drawn = line_chart("loss", [Series(0, (zigzag,))], "")
    assert "circle" not in drawn
    levels = [float(one) for one in re.findall(r'class="axis end">([\d.]+)</text>', drawn)]
    assert 0.4 <= min(levels) < max(levels) <= 0.6


def test_metrics_that_are_no_numbers_are_left_out():
    lines = [{"step": 0, "loss": 1.0}, {"step": 1, "loss": float("nan")}, {"step": 2, "other": 3}]
    assert metric_curve(lines, "loss", scale=100) == [(1, 100.0)]
    assert line_chart("loss", [Series(0, ([],))], "") == ""


def test_text_is_escaped_and_html_is_not():
    inner = element("b", "<i>&")
    assert inner == "<b>&lt;i&gt;&amp;</b>"
    assert element("p", inner, title='"<') == '<p title="&quot;&lt;"><b>&lt;i&gt;&amp;</b></p>'
    assert joined(("<", Html("<br>"))) == "&lt;<br>"
    assert element("img", alt="", class_="x", src=None) == '<img alt="" class="x">'


def test_tables_scroll_by_keyboard_and_name_themselves():
    made = table(["a", "b"], [["<x>", "1"]], "what it holds")
    assert 'tabindex="0"' in made
    assert 'aria-label="what it holds"' in made
    assert '<th scope="row">&lt;x&gt;</th><td>1</td>' in made
