"""Line charts as inline SVG, whose inks are the page's, light or dark."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline.runs.report.markup import Html, element, joined
from rsmtdf_core.evaluation.curves import Curve, smoothed

_INKS = 6  # colours that the page's style has
_WIDTH, _HEIGHT = 520, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 12, 40
_DOTTED = 20  # points; a shorter curve has its points marked
_TICKS = 5


class Series(NamedTuple):
    """The curves of one group, all in one ink.

    Attributes:
        ink: number of the group.
        curves: one for each run.
    """

    ink: int
    curves: tuple[Curve, ...]


def line_chart(title: str, series: Sequence[Series], unit: str) -> Html:
    """A chart with one line for each curve, smoothed where curves are long; empty without any point."""
    smooth = [(one.ink, _smoothed(curve)) for one in series for curve in one.curves if curve]
    if not smooth:
        return Html("")
    steps = [step for _, curve in smooth for step, _ in curve]
    values = [value for _, curve in smooth for _, value in curve]
    across, up = _ticks(0, max(steps)), _ticks(min(values), max(values))
    right, low, high = across[-1], up[0], up[-1]

    def place(step: float, value: float) -> tuple[float, float]:
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * step / right
        y = _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * (value - low) / (high - low)
        return round(x, 1), round(y, 1)

    drawing = [
        *(_level(place(0, value)[1], f"{value:g}") for value in up),
        *(_step(place(step, low)[0], f"{step:,g}") for step in across),
        element("text", "steps", x=_WIDTH - _RIGHT, y=_HEIGHT - 4, class_="axis end"),
        *(_curve([place(*point) for point in curve], ink) for ink, curve in smooth),
    ]
    said = f"{title}, {unit}, from step {min(steps):,g} to {max(steps):,g}"
    picture = element(
        "svg", *drawing, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=said
    )
    return element(
        "figure",
        element("figcaption", title, ", ", element("small", unit)),
        picture,
        class_="chart",
    )


def ink(number: int) -> str:
    """The classes that give a line or a swatch the look of a group."""
    return f"ink{number % _INKS} dash{number // _INKS % 3}"


def _level(y: float, text: str) -> Html:
    return joined(
        (
            element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="grid"),
            element("text", text, x=_LEFT - 8, y=y + 4, class_="axis end"),
        )
    )


def _step(x: float, text: str) -> Html:
    return element("text", text, x=x, y=_HEIGHT - _BOTTOM + 18, class_="axis middle")


def _curve(points: Sequence[tuple[float, float]], number: int) -> Html:
    line = element("polyline", points=" ".join(f"{x},{y}" for x, y in points), class_=ink(number))
    if len(points) > _DOTTED:
        return line
    dots = (element("circle", cx=x, cy=y, r=3, class_=ink(number)) for x, y in points)
    return joined((line, *dots))


def _smoothed(curve: Curve) -> Curve:
    steps, values = zip(*curve, strict=True)
    return list(zip(steps, smoothed(np.array(values, np.float64)).tolist(), strict=True))


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers at even distances, the first at `low` or below and the last at `high` or above."""
    # Means of equal values may differ in their last digits.
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        low, high = low - 0.5 * abs(low), high + 0.5 * abs(high) if high else 1.0
    raw = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    width = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / width + 1e-9), math.ceil(high / width - 1e-9)
    digits = 2 - math.floor(math.log10(width))
    return [round(number * width, digits) for number in range(first, last + 1)]
