"""The look: the same bytes whatever the user has set, and SVG that shares a page with others."""

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest

from rsmtdf_core.charts.confusion import confusion_picture
from rsmtdf_core.charts.lines import LineChart, Series, lines_svg
from rsmtdf_core.charts.scores import ScoreRow, scores_picture
from rsmtdf_core.charts.style import DASHES, SERIES, LineStyle
from rsmtdf_core.charts.training import curves_picture

LINES = [{"step": step, "loss": 1 / (step + 1), "miou": 0.1 * step} for step in range(5)]


def draw(folder: Path) -> list[bytes]:
    paths = [folder / f"{number}.png" for number in range(3)]
    confusion_picture(paths[0], np.array([[9, 1], [30, 70]]), ("a", "b"))
    curves_picture(paths[1], LINES)
    scores_picture(paths[2], [ScoreRow("a", (10.0, 20.0), 15.0, 5.0, "15 ± 5")], "mIoU")
    return [*(path.read_bytes() for path in paths), chart("loss", 3).encode()]


def chart(title: str, count: int) -> str:
    """A chart of three groups, the second with two seeds of `count` points each."""
    curve = [(step, step**0.5) for step in range(1, count + 1)]
    other = [(step, step**0.4) for step in range(1, count + 1)]
    series = (Series("a", 0, (curve,)), Series("b", 1, (curve, other)), Series("c", 7, (other,)))
    return lines_svg(LineChart(title, "per <step>", series))


def test_bytes_do_not_depend_on_the_users_matplotlib_settings(tmp_path: Path) -> None:
    plain = draw(tmp_path)
    loud = {"font.size": 30, "axes.facecolor": "red", "savefig.bbox": "tight", "lines.linewidth": 9}
    with mpl.rc_context(loud):
        assert draw(tmp_path) == plain
        assert mpl.rcParams["font.size"] == 30
        assert mpl.rcParams["svg.hashsalt"] is None


@pytest.mark.parametrize("count", [1, 7, 200])
def test_an_svg_is_well_formed_and_its_inks_are_variables_of_the_page(count: int) -> None:
    drawn = chart("loss", count)
    root = ET.fromstring(f'<page xmlns:xlink="x">{drawn}</page>')
    assert [element.tag for element in root] == ["svg"]
    high, low = count**0.5, count**0.4
    ends = (("a", high, high), ("b", (high + low) / 2, high), ("c", low, low))
    content = "; ".join(
        f"{name}: {end:.3g} at the end, at most {most:.3g}" for name, end, most in ends
    )
    assert root[0].attrib["aria-label"] == f"loss, per <step>, from step 1 to {count}. {content}"
    tags = {element.tag for element in root.iter()}
    assert not tags & {"style", "metadata", "script", "image"}
    inks = set(re.findall(r"(?:fill|stroke): ([^;\"]+)", drawn))
    assert {"var(--ink0)", "var(--ink1)", "var(--muted)", "var(--rule)"} <= inks
    assert all(ink == "none" or ink.startswith("var(--") for ink in inks), "a color of its own"


def test_ids_of_two_charts_of_a_page_differ_and_every_reference_has_its_id() -> None:
    ids = []
    for title in ("loss", "mIoU"):
        drawn = chart(title, 5)
        names = re.findall(r' id="([^"]+)"', drawn)
        assert names
        assert len(names) == len(set(names))
        used = re.findall(r'url\(#([^)]+)\)|xlink:href="#([^"]+)"', drawn)
        assert {first or second for first, second in used} == set(names)
        ids.append(set(names))
    assert not ids[0] & ids[1]


def test_styles_of_the_first_series_all_differ() -> None:
    styles = [LineStyle.of(number) for number in range(len(SERIES) * len(DASHES))]
    assert len({(style.color, style.pattern) for style in styles}) == len(styles)


def test_neighbors_differ_in_color_and_in_dash() -> None:
    styles = [LineStyle.of(number) for number in range(len(SERIES) * len(DASHES))]
    for first, second in pairwise(styles):
        assert first.color != second.color
        assert first.pattern != second.pattern
