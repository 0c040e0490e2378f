"""Draws the share of each class in each split."""

from collections.abc import Sequence
from pathlib import Path

from rsmtdf_core.charts.canvas import Canvas, canvas, text_width
from rsmtdf_core.charts.style import FAINT, MARGIN, MUTED
from rsmtdf_core.scenes.check import SplitCheck
from rsmtdf_core.scenes.colors import picture_colors
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.words import one_line, shortened

_ROW = 44  # px per class, with few classes
_SMALL_ROW = 24  # px per class, with many classes
_MOST_TALL = 40  # maximum number of rows of full height
_MOST_ROWS = 100  # rows, of which the last may sum up the other classes
_LONGEST = 40  # characters of a class name
_BAR = 210  # px, length of the longest bar
_NUMBER = 110  # px for the number next to a bar
_GAP = 36  # px between splits
_SWATCH = 22  # px
_IGNORED = "#9AA3AC"

_Row = tuple[str, str, list[int]]


def class_shares_picture(path: Path, manifest: Manifest, splits: Sequence[SplitCheck]) -> None:
    """Write a picture with a row for each class and a bar for its share of the mask pixels of each split.

    The longest bar fills its column, so that bars are comparable across classes and splits. With more than 99 classes
    the rarest have a row together.
    """
    rows = [
        *_class_rows(manifest, splits),
        ("ignored", _IGNORED, [split.ignored for split in splits]),
    ]
    height = _ROW if len(rows) <= _MOST_TALL else _SMALL_ROW
    totals = [sum(split.pixels.values()) + split.ignored for split in splits]
    shares = [
        [count / total if total else 0.0 for count, total in zip(counts, totals, strict=True)]
        for _, _, counts in rows
    ]
    longest = max(max(row) for row in shares) or 1.0
    names = _SWATCH + 12 + max(text_width(name) for name, _, _ in rows) + _GAP
    column = _BAR + _NUMBER + _GAP
    width = 2 * MARGIN + names + len(splits) * column - _GAP
    top = MARGIN + 70
    with canvas(path, width, top + len(rows) * height + MARGIN) as page:
        for number, split in enumerate(splits):
            left = MARGIN + names + number * column
            page.text(left, MARGIN + 10, split.name, 12, bold=True)
            note = f"{split.labeled} of {split.scenes} scenes labeled"
            page.text(left, MARGIN + 42, note, 8, color=MUTED)
        for index, ((name, color, _), row) in enumerate(zip(rows, shares, strict=True)):
            middle = top + index * height + height / 2
            page.box(MARGIN, middle - _SWATCH / 2, _SWATCH, _SWATCH, MUTED)
            page.box(MARGIN + 1, middle - _SWATCH / 2 + 1, _SWATCH - 2, _SWATCH - 2, color)
            page.text(MARGIN + _SWATCH + 12, middle, name)
            for number, share in enumerate(row):
                _bar(page, MARGIN + names + number * column, middle, share, share / longest, color)


def _class_rows(manifest: Manifest, splits: Sequence[SplitCheck]) -> list[_Row]:
    """Return name, color and pixels of each class in each split; the last row may be that of the rarest classes."""
    rows = [
        (
            shortened(one_line(spec.name), _LONGEST),
            color,
            [split.pixels[spec.name] for split in splits],
        )
        for spec, color in zip(manifest.classes, picture_colors(manifest).classes, strict=True)
    ]
    if len(rows) < _MOST_ROWS:
        return rows
    by_size = sorted(rows, key=lambda row: sum(row[2]), reverse=True)
    shown, rare = by_size[: _MOST_ROWS - 2], by_size[_MOST_ROWS - 2 :]
    sums = [sum(pixels) for pixels in zip(*(row[2] for row in rare), strict=True)]
    return [row for row in rows if row in shown] + [
        (f"the {len(rare)} rarest classes", _IGNORED, sums)
    ]


def _bar(page: Canvas, left: float, middle: float, share: float, length: float, color: str) -> None:
    page.box(left, middle - 10, _BAR, 20, FAINT)
    if length:
        # A frame makes white classes visible.
        page.box(left, middle - 10, max(2.0, _BAR * length), 20, MUTED)
        page.box(left + 1, middle - 9, max(0.0, _BAR * length - 2), 18, color)
    number = "none" if not share else f"{100 * share:.2f} %" if share >= 5e-5 else "<0.01 %"
    page.text(left + _BAR + _NUMBER, middle, number, 8.5, align="right", color=MUTED)
