"""Reliability diagrams show the bins with pixels, as a picture and as an element of a page."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from rsmtdf_core.charts.reliability import (
    ReliabilityCurve,
    reliability_picture,
    reliability_svg,
)
from tests.pictures import assert_margin_is_white, pixels


def curve(name: str, accuracy: float) -> ReliabilityCurve:
    return ReliabilityCurve(name, [0, 5, 15], [0.0, 0.5, 0.9], [0.0, accuracy, accuracy])


def test_a_picture_has_a_curve_for_each_model(tmp_path: Path) -> None:
    curves = [curve("as trained: $x$\n", 0.4), curve("temperature 2", 0.8)]
    reliability_picture(tmp_path / "a.png", curves, "Reliability")
    picture = pixels(tmp_path / "a.png")
    assert_margin_is_white(picture)
    for color in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):
        assert (picture == color).all(axis=2).sum() > 100


@pytest.mark.parametrize("count", [1, 30])
def test_an_element_is_well_formed_and_bounded(count: int) -> None:
    curves = [curve(f"<b>{number}", 0.5) for number in range(count)]
    text = reliability_svg(curves, "Accuracy & confidence")
    element = ET.fromstring(text.replace("xlink:href", "href"))
    assert element.attrib["aria-label"] == "Accuracy & confidence"
    assert "<b>" not in text
    assert len(text) < 60_000
