"""The common style of all charts: colors, font and axes, and functions to write figures as PNG and SVG.

Uses matplotlib's object interface, without a display, a global figure or the user's matplotlibrc, so that the same
input gives the same bytes.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from rsmtdf_core.files import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
MARGIN = 32  # px around everything
INK = "#1F2933"
MUTED = "#66727F"
FAINT = "#E3E7EB"
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito, 2008
DASHES: tuple[Literal["-", "--", ":", "-."], ...] = ("-", "--", ":", "-.")
STYLES = len(SERIES) * len(DASHES)
"""Number of distinct line styles."""

# The page that embeds an SVG defines these variables, once for light and once for dark mode.
_VARIABLES = {INK: "--ink", MUTED: "--muted", FAINT: "--rule"} | {
    color: f"--ink{number}" for number, color in enumerate(SERIES)
}

# Replacements that make matplotlib's SVG safe to embed next to others, at half the size.
_SHORTER = (
    (r"<metadata>.*?</metadata>|<style .*?</style>", ""),  # a style would apply to the whole page
    (r'<g id="[^"]*"', "<g"),  # all figures use the same ids
    (r"font-family: [^;]*; ", ""),
    (r' transform="rotate\(-0 [^"]*\)"', ""),
    (r"\s+", " "),
    (r"> <", "><"),
    (r"(\.\d\d)\d+", r"\1"),
    (r"<g/>|<g></g>|<defs></defs>|<defs/>", ""),
)


class LineStyle(NamedTuple):
    """The style of the lines of a series.

    Attributes:
        ink: index in `SERIES`.
        dash: index in `DASHES`.
    """

    ink: int
    dash: int

    @classmethod
    def of(cls, number: int) -> "LineStyle":
        """Return the style of series `number`: 24 are distinct, and neighbors differ in both color and dash."""
        dash = number + number // (2 * len(SERIES))
        return cls(number % len(SERIES), dash % len(DASHES))

    @property
    def color(self) -> str:
        """The color as "#RRGGBB"."""
        return SERIES[self.ink]

    @property
    def pattern(self) -> Literal["-", "--", ":", "-."]:
        """The dash in matplotlib's notation."""
        return DASHES[self.dash]


@contextmanager
def look() -> Iterator[None]:
    """Draw in this package's style: matplotlib's defaults with a few changes, whatever the user's settings."""
    import matplotlib as mpl

    settings = mpl.rcParamsDefault | {
        "font.family": "DejaVu Sans",  # included in matplotlib
        "text.parse_math": False,  # a scene may have a $ in its name
        "text.color": INK,
        "figure.dpi": DPI,
        "svg.fonttype": "none",  # keep text as text: the font of the page, and a third of the size
    }
    settings.pop("backend", None)  # setting it would require a display
    with mpl.rc_context(settings):
        yield


def new_figure(width: float, height: float) -> "Figure":
    """Create a white figure of `width` x `height` inches that makes room for labels of any length."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def plain_axes(axes: "Axes", grid: Literal["x", "y"]) -> None:
    """Show only the lower spine and faint grid lines for an axis."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.grid(axis=grid, color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, length=0, labelsize=9)


def save_png(figure: "Figure", path: Path, *, cut: bool = False) -> None:
    """Write a figure as PNG; `cut` crops it to a margin of `MARGIN` px around the drawing."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    box = "tight" if cut else None
    with atomic_file(path) as file:
        figure.savefig(
            file,
            format="png",
            metadata={"Software": None},
            bbox_inches=box,
            pad_inches=MARGIN / DPI,
        )


def svg_element(figure: "Figure", label: str) -> str:
    """Convert a figure drawn within `look` to an `<svg>` element whose colors are CSS variables of the page.

    The variables are `--ink`, `--muted`, `--rule` and `--ink0` to `--ink5`, so that the page can have a dark mode.

    Args:
        figure: a figure in the colors of this module.
        label: description of the chart for screen readers; unique in the page.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    FigureCanvasSVG(figure)
    file = io.StringIO()
    # Reproducible ids that are unique in the page.
    mpl.rcParams["svg.hashsalt"] = label
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=no_metadata)
    _, tag, rest = file.getvalue().partition("<svg ")
    assert tag, "matplotlib writes an svg element"
    size = re.search(r'viewBox="[^"]+"', rest)
    assert size is not None, "matplotlib writes a viewBox"
    body = rest.partition(">")[2]
    for pattern, replacement in _SHORTER:
        body = re.sub(pattern, replacement, body, flags=re.DOTALL)
    for color, variable in _VARIABLES.items():
        body = body.replace(color.lower(), f"var({variable})")
    return f'<svg {size[0]} role="img" aria-label="{escape(label)}">{body.strip()}'
