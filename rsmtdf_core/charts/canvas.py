"""A canvas for texts, boxes, images and legends, positioned in px from the top left."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rsmtdf_core.charts.style import DPI, INK, MUTED, look, save_png
from rsmtdf_core.words import one_line, readable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SWATCH = 22  # px, side of a square in a legend
_ENTRY_GAP = 30  # px between two entries of a legend
_LINE = 38  # px between lines of a legend

Entry = tuple[str, str]  # name and color "#RRGGBB"


class Canvas:
    """A white canvas of `width` x `height` px, saved as a PNG file."""

    def __init__(self, figure: "Figure", width: int, height: int) -> None:
        self.width = width
        self.height = height
        self._figure = figure

    def axes(self, left: float, top: float, width: float, height: float) -> "Axes":
        """Add axes that fill a box in px."""
        bottom = self.height - top - height
        return self._figure.add_axes(
            (left / self.width, bottom / self.height, width / self.width, height / self.height)
        )

    def image(self, left: int, top: int, image: npt.NDArray[np.uint8]) -> None:
        """Draw an image, uint8 [H, W, 3], without scaling."""
        height, width = image.shape[:2]
        axes = self.axes(left, top, width, height)
        axes.imshow(image, interpolation="nearest", aspect="auto")
        axes.set_axis_off()

    def box(self, left: float, top: float, width: float, height: float, color: object) -> None:
        """Fill a box with a color."""
        from matplotlib.patches import Rectangle

        low = (left / self.width, 1 - (top + height) / self.height)
        size = (width / self.width, height / self.height)
        self._figure.add_artist(Rectangle(low, *size, color=color, linewidth=0))

    def text(
        self,
        left: float,
        top: float,
        text: str,
        size: float = 9,
        *,
        color: str = INK,
        bold: bool = False,
        align: str = "left",
        rotation: float = 0,
    ) -> None:
        """Write text that starts, is centered or ends at `left` (`align`), vertically centered at `top`."""
        self._figure.text(
            left / self.width,
            1 - top / self.height,
            one_line(readable(text)),
            size=size,
            color=color,
            weight="bold" if bold else "normal",
            ha=align,
            va="bottom" if rotation else "center_baseline",
            rotation=rotation,
            rotation_mode="anchor" if rotation else "default",
        )

    def legend(self, left: int, top: int, width: int, entries: Sequence[Entry]) -> None:
        """Draw colored squares with names, wrapped to lines of `width` px."""
        for (name, color), x, line in _flow(entries, width):
            y = top + line * _LINE
            # A frame makes white classes visible on white.
            self.box(left + x, y, _SWATCH, _SWATCH, MUTED)
            self.box(left + x + 1, y + 1, _SWATCH - 2, _SWATCH - 2, color)
            self.text(left + x + _SWATCH + 10, y + _SWATCH / 2, name)


def legend_height(width: int, entries: Sequence[Entry]) -> int:
    """Return the height of `Canvas.legend`, px."""
    lines = max(line for _, _, line in _flow(entries, width)) + 1
    return (lines - 1) * _LINE + _SWATCH


def legend_width(entries: Sequence[Entry]) -> int:
    """Return the width of `Canvas.legend` on a single line, px."""
    return sum(_entry_width(name) for name, _ in entries) + _ENTRY_GAP * (len(entries) - 1)


def _flow(entries: Sequence[Entry], width: int) -> Iterator[tuple[Entry, int, int]]:
    """Yield each entry with its x in px and its line number."""
    x = line = 0
    for entry in entries:
        entry_width = _entry_width(entry[0])
        if x and x + entry_width > width:
            x, line = 0, line + 1
        yield entry, x, line
        x += entry_width + _ENTRY_GAP


def _entry_width(name: str) -> int:
    return _SWATCH + 10 + text_width(name)


def text_width(text: str, size: float = 9, *, bold: bool = False) -> int:
    """Return the width of a line of text, px, rounded up."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family="DejaVu Sans", size=size, weight="bold" if bold else "normal")
    text = one_line(readable(text))
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return int(np.ceil(width * DPI / 72))


@contextmanager
def canvas(path: Path, width: int, height: int) -> Iterator[Canvas]:
    """Yield a canvas, and save it as the PNG file `path` when the context ends."""
    from matplotlib.figure import Figure

    with look():
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
        yield Canvas(figure, width, height)
        save_png(figure, path)
