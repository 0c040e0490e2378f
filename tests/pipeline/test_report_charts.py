"""Charts and markup by themselves: every text is escaped, every point is inside, ticks are round."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.charts import Series, line_chart, metric_curve
from pipeline.report.markup import Html, bytes_text, element, joined, table

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


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**40, "1.0 TiB")]
)
def test_bytes_for_people(count, text):
    assert bytes_text(count) == text
