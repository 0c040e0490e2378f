"""Draws the share of each class in each split."""

from collections.abc import Sequence
from pathlib import Path

from rsmtdf_core.charts.canvas import Canvas, canvas, text_width
from rsmtdf_core.charts.style import FAINT, MARGIN, MUTED
from rsmtdf_core.scenes.check import SplitCheck
from rsmtdf_core.scenes.manifest import Manifest

_ROW = 44  # px per class
_BAR = 210  # px, length of the longest bar
_NUMBER = 110  # px for the number next to a bar
_GAP = 36  # px between splits
_SWATCH = 22  # px
_IGNORED = "#9AA3AC"


def class_shares_picture(path: Path, manifest: Manifest, splits: Sequence[SplitCheck]) -> None:
    """Write a picture with a row for each class and a bar for its share of the mask pixels of each split.

    The longest bar fills its column, so that bars are comparable across classes and splits.
    """
    rows = [
        *(
            (spec.name, spec.color, [split.pixels[spec.name] for split in splits])
            for spec in manifest.classes
        ),
        ("ignored", _IGNORED, [split.ignored for split in splits]),
    ]
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
    with canvas(path, width, top + len(rows) * _ROW + MARGIN) as page:
        for number, split in enumerate(splits):
            left = MARGIN + names + number * column
            page.text(left, MARGIN + 10, split.name, 12, bold=True)
            note = f"{split.labeled} of {split.scenes} scenes labeled"
            page.text(left, MARGIN + 42, note, 8, color=MUTED)
        for index, ((name, color, _), row) in enumerate(zip(rows, shares, strict=True)):
            middle = top + index * _ROW + _ROW / 2
            page.box(MARGIN, middle - _SWATCH / 2, _SWATCH, _SWATCH, MUTED)
            page.box(MARGIN + 1, middle - _SWATCH / 2 + 1, _SWATCH - 2, _SWATCH - 2, color)
            page.text(MARGIN + _SWATCH + 12, middle, name)
            for number, share in enumerate(row):
                _bar(page, MARGIN + names + number * column, middle, share, share / longest, color)


def _bar(page: Canvas, left: float, middle: float, share: float, length: float, color: str) -> None:
    page.box(left, middle - 10, _BAR, 20, FAINT)
    if length:
        # A frame makes white classes visible.
        page.box(left, middle - 10, max(2.0, _BAR * length), 20, MUTED)
        page.box(left + 1, middle - 9, max(0.0, _BAR * length - 2), 18, color)
    number = "none" if not share else f"{100 * share:.2f} %" if share >= 5e-5 else "<0.01 %"
    page.text(left + _BAR + _NUMBER, middle, number, 8.5, align="right", color=MUTED)
