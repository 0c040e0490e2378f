"""Canvases place elements at the given pixels, and legends have the announced size."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsmtdf_core.charts.canvas import canvas, legend_height, legend_width, text_width
from tests.pictures import pixels

words = st.text(st.characters(min_codepoint=32, max_codepoint=0x17F), min_size=1, max_size=12)


def test_images_and_boxes_are_at_their_pixels(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    with canvas(tmp_path / "c.png", 200, 100) as page:
        page.image(40, 10, image)
        page.box(100, 50, 25, 15, "#FF0000")
    picture = pixels(tmp_path / "c.png")
    assert picture.shape == (100, 200, 3)
    assert (picture[10:30, 40:70] == image).all()
    red = np.argwhere((picture == (255, 0, 0)).all(axis=2))
    assert red.min(axis=0).tolist() == [50, 100]
    assert red.max(axis=0).tolist() == [64, 124]


@pytest.mark.parametrize(("align", "ends"), [("left", (100, 150)), ("right", (50, 100))])
def test_text_is_on_the_side_that_it_is_aligned_to(tmp_path: Path, align: str, ends) -> None:
    with canvas(tmp_path / "c.png", 200, 40) as page:
        page.text(100, 20, "word", align=align)
    columns = np.flatnonzero((pixels(tmp_path / "c.png") < 200).any(axis=(0, 2)))
    assert ends[0] - 2 <= columns[0] <= columns[-1] <= ends[1] + 2


@settings(max_examples=15)
@given(st.lists(words, min_size=1, max_size=6), st.integers(60, 900))
def test_a_legend_takes_the_height_that_it_claims(tmp_path_factory, names, width) -> None:
    path = tmp_path_factory.mktemp("legend") / "c.png"
    entries = [(name, "#FF0000") for name in names]
    height = legend_height(width, entries)
    with canvas(path, width + 400, height + 60) as page:
        page.legend(10, 30, width, entries)
    picture = pixels(path)
    red = np.flatnonzero((picture == (255, 0, 0)).all(axis=2).any(axis=1))
    assert red[0] == 31
    assert red[-1] == 30 + height - 2
    if legend_width(entries) <= width:
        assert height == legend_height(10**6, entries)


@given(words)
def test_longer_text_is_wider_and_bold_text_no_narrower(text: str) -> None:
    assert text_width(text + "m") > text_width(text)
    assert text_width("m" + text, bold=True) >= text_width("m", bold=True)
