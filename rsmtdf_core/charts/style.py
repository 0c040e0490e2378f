"""One look for every chart: inks, typeface, axes, and the two ways to write a figure, PNG and SVG.

Built on matplotlib's object interface: no display, no global figure, and no influence of a user's matplotlibrc, so
that the same input gives the same bytes.
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

# The page that embeds an SVG defines these variables, once for light and once for dark mode.
_VARIABLES = {INK: "--ink", MUTED: "--muted", FAINT: "--rule"} | {
    color: f"--ink{number}" for number, color in enumerate(SERIES)
}

# From matplotlib's SVG to one that shares a page with others, at half the bytes.
_SHORTER = (
    (r"<metadata>.*?</metadata>|<style .*?</style>", ""),  # a style would rule the whole page
    (r'<g id="[^"]*"', "<g"),  # every figure names its groups alike
    (r"font-family: [^;]*; ", ""),
    (r' transform="rotate\(-0 [^"]*\)"', ""),
    (r"\s+", " "),
    (r"> <", "><"),
    (r"(\.\d\d)\d+", r"\1"),
    (r"<g/>|<g></g>|<defs></defs>|<defs/>", ""),
)


class LineStyle(NamedTuple):
    """How the lines of one series look.

    Attributes:
        ink: index in `SERIES`.
        dash: index in `DASHES`.
    """

    ink: int
    dash: int

    @classmethod
    def of(cls, number: int) -> "LineStyle":
        """The style of a picture's series `number`; 24 series differ."""
        return cls(number % len(SERIES), number // len(SERIES) % len(DASHES))

    @property
    def color(self) -> str:
        """The ink as "#RRGGBB"."""
        return SERIES[self.ink]

    @property
    def pattern(self) -> Literal["-", "--", ":", "-."]:
        """The dash as matplotlib writes it."""
        return DASHES[self.dash]


@contextmanager
def look() -> Iterator[None]:
    """Draw in this package's look: matplotlib's defaults but for the lines below, whatever the user has set."""
    import matplotlib as mpl

    settings = mpl.rcParamsDefault | {
        "font.family": "DejaVu Sans",  # comes with matplotlib
        "text.parse_math": False,  # a scene may have a $ in its name
        "text.color": INK,
        "figure.dpi": DPI,
        "svg.fonttype": "none",  # text stays text: the page's typeface, and a third of the bytes
    }
    settings.pop("backend", None)  # setting it would look for a display
    with mpl.rc_context(settings):
        yield


def new_figure(width: float, height: float) -> "Figure":
    """A white figure of `width` x `height` inches that makes room for every label, however long."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def plain_axes(axes: "Axes", grid: Literal["x", "y"]) -> None:
    """Leave the lower spine and faint grid lines along one axis."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.grid(axis=grid, color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, length=0, labelsize=9)


def save_png(figure: "Figure", path: Path, *, cut: bool = False) -> None:
    """Write a figure; `cut` leaves a margin of `MARGIN` px around what was drawn."""
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
    """A figure as an `<svg>` element, drawn within `look`, whose inks are CSS variables of the page around it.

    The variables are `--ink`, `--muted`, `--rule` and `--ink0` to `--ink5`, so that the page decides on light and dark.

    Args:
        figure: drawn in the colors of this module.
        label: describes the chart to readers who do not see it; unlike that of other charts of the page.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    FigureCanvasSVG(figure)
    file = io.StringIO()
    # Ids that no other chart of the page has, and the same every time.
    mpl.rcParams["svg.hashsalt"] = label
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    _, tag, rest = file.getvalue().partition("<svg ")
    assert tag, "matplotlib writes one svg element"
    size = re.search(r'viewBox="[^"]+"', rest)
    assert size is not None, "matplotlib writes the size of its picture"
    body = rest.partition(">")[2]
    for pattern, replacement in _SHORTER:
        body = re.sub(pattern, replacement, body, flags=re.DOTALL)
    for color, variable in _VARIABLES.items():
        body = body.replace(color.lower(), f"var({variable})")
    return f'<svg {size[0]} role="img" aria-label="{escape(label)}">{body.strip()}'
