"""How often each class occurs in each split, as a picture."""

from collections.abc import Sequence
from pathlib import Path

from rsmtdf_core.charts.canvas import Canvas, canvas, text_width
from rsmtdf_core.charts.style import FAINT, MARGIN, MUTED
from rsmtdf_core.scenes.check import SplitCheck
from rsmtdf_core.scenes.manifest import Manifest

_ROW = 44  # px from one class to the next
_BAR = 210  # px, the longest bar
_NUMBER = 110  # px for the number beside a bar
_GAP = 36  # px between two splits
_SWATCH = 22  # px
_IGNORED = "#9AA3AC"


def class_shares_picture(path: Path, manifest: Manifest, splits: Sequence[SplitCheck]) -> None:
    """Write a row for each class with a bar for each split: its share of the split's mask pixels.

    The longest of all bars fills its column, so that bars compare across classes and splits.
    """
    rows = [
        *(
            (spec.name, spec.color, [one.pixels[spec.name] for one in splits])
            for spec in manifest.classes
        ),
        ("ignored", _IGNORED, [one.ignored for one in splits]),
    ]
    totals = [sum(one.pixels.values()) + one.ignored for one in splits]
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
        for number, one in enumerate(splits):
            left = MARGIN + names + number * column
            page.text(left, MARGIN + 10, one.name, 12, bold=True)
            said = f"{one.labeled} of {one.scenes} scenes labeled"
            page.text(left, MARGIN + 42, said, 8, color=MUTED)
        for place, ((name, color, _), row) in enumerate(zip(rows, shares, strict=True)):
            middle = top + place * _ROW + _ROW / 2
            page.box(MARGIN, middle - _SWATCH / 2, _SWATCH, _SWATCH, MUTED)
            page.box(MARGIN + 1, middle - _SWATCH / 2 + 1, _SWATCH - 2, _SWATCH - 2, color)
            page.text(MARGIN + _SWATCH + 12, middle, name)
            for number, share in enumerate(row):
                _bar(page, MARGIN + names + number * column, middle, share, share / longest, color)


def _bar(page: Canvas, left: float, middle: float, share: float, length: float, color: str) -> None:
    page.box(left, middle - 10, _BAR, 20, FAINT)
    if length:
        # A frame, so that white classes can be seen.
        page.box(left, middle - 10, max(2.0, _BAR * length), 20, MUTED)
        page.box(left + 1, middle - 9, max(0.0, _BAR * length - 2), 18, color)
    said = "none" if not share else f"{100 * share:.2f} %" if share >= 5e-5 else "<0.01 %"
    page.text(left + _BAR + _NUMBER, middle, said, 8.5, align="right", color=MUTED)
