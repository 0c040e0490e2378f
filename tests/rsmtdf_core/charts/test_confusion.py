"""Confusion matrices: within the margin for any number of classes, darker cells for larger shares, short numbers."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.charts.canvas import Canvas
from rsmtdf_core.charts.confusion import confusion_picture, percent, short_count
from tests.pictures import assert_margin_is_white, pixels


@pytest.mark.parametrize(
    "names",
    [
        ("a", "b"),
        ("background", "low vegetation", "impervious surfaces of every kind"),
        tuple(f"class number {i}" for i in range(20)),
    ],
)
def test_confusion_matrices_of_any_size_stay_within_the_margin(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    matrix = np.random.default_rng(0).integers(0, 10**9, (len(names), len(names)))
    matrix[0] = 0
    confusion_picture(tmp_path / "c.png", matrix, names, "a run, test split, EMA model")
    assert_margin_is_white(pixels(tmp_path / "c.png"))


def test_confusion_cells_are_darker_the_larger_their_share_of_the_row(tmp_path: Path) -> None:
    confusion_picture(tmp_path / "c.png", np.array([[9, 1], [30, 70]]), ("aa", "bb"))
    picture = pixels(tmp_path / "c.png").astype(int)
    blue = picture[..., 2] - picture[..., 0] > 30
    columns = np.flatnonzero(blue.any(axis=0))
    middle = (columns[0] + columns[-1]) // 2
    first, second = (
        picture[:, : middle - 4][blue[:, : middle - 4]],
        picture[:, middle:][blue[:, middle:]],
    )
    assert np.median(first.sum(axis=1)) < np.median(second.sum(axis=1))


def test_the_texts_of_a_confusion_matrix_do_not_grow_with_the_square_of_its_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[str] = []
    draw = Canvas.text
    monkeypatch.setattr(
        Canvas, "text", lambda page, *position, **look: texts.append(draw(page, *position, **look))
    )
    for count in (31, 120):
        texts.clear()
        matrix = np.ones((count, count), int) + 9 * count * np.eye(count, dtype=int)
        confusion_picture(tmp_path / "c.png", matrix, [f"class {i}" for i in range(count)])
        assert len(texts) < 4 * count
        picture = pixels(tmp_path / "c.png").astype(int)
        assert_margin_is_white(picture)
        blue = (picture[..., 2] - picture[..., 0] > 60).any(axis=1)
        assert np.diff(blue.astype(int)).clip(0).sum() >= count, "a right cell in each row"


@pytest.mark.parametrize("count", [20, 21, 80, 255])
def test_a_confusion_matrix_has_a_bounded_size_whatever_its_classes_and_names(
    tmp_path: Path, count: int
) -> None:
    names = [f"class {i} with a name that goes on for far too long" for i in range(count)]
    confusion_picture(tmp_path / "c.png", np.eye(count, dtype=int), names)
    picture = pixels(tmp_path / "c.png")
    assert_margin_is_white(picture)
    assert max(picture.shape) <= 2500


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (9_994, "9.99 k"),
        (9_996, "10.0 k"),
        (99_960, "100 k"),
        (999_600, "1.00 M"),
        (12_345_678, "12.3 M"),
        (3_100_000_000, "3.10 G"),
    ],
)
def test_counts_are_short_and_never_show_a_thousand_of_a_unit(count: int, text: str) -> None:
    assert short_count(count) == text


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_share_is_zero_for_no_pixel_alone(count: int, others: int) -> None:
    text = percent(count, count + others)
    assert (text == "0.0") == (count == 0)
    if text not in ("0.0", "<0.1"):
        assert float(text) == pytest.approx(100 * count / (count + others), abs=0.0501)
