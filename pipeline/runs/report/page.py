"""Renders the page from templates and the collected data.

The templates are the files of `templates/`. Jinja escapes everything except `Markup`, so that names cannot inject HTML.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from pipeline.runs.compare.tables import spread_text
from pipeline.runs.report.answers import answers
from pipeline.runs.report.data import Diagram, PageData
from rsmtdf_core.charts.confusion import short_count
from rsmtdf_core.charts.lines import LineChart, lines_svg
from rsmtdf_core.charts.panels import ERROR_ENTRIES, class_entries
from rsmtdf_core.charts.reliability import reliability_svg
from rsmtdf_core.charts.style import LineStyle
from rsmtdf_core.words import bytes_text, counted, printable

_PERCENT = re.compile(r"(?<=\d) %(?=[ .,;)])")
_TEMPLATES = Path(__file__).with_name("templates")


def render(page: PageData) -> str:
    """Render the page as self-contained HTML, without external links."""
    charts = [chart for chart in page.charts if chart.points]
    return (
        environment()
        .get_template("page.html")
        .render(
            page=page,
            answers=answers(page),
            charts=charts,
            legend=[*class_entries(page.manifest, ignored=True), *ERROR_ENTRIES],
            style=_asset("page.css"),
            script=_asset("page.js"),
        )
    )


def environment() -> Environment:
    """Create the Jinja environment of the templates, with autoescaping, strict undefined values and filters."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    environment.filters |= {
        "bytes": bytes_text,
        "counted": counted,
        "decimal": lambda value: _formatted(value, ",.1f"),
        "diagram": _diagram,
        "inks": _inks,
        "prose": _prose,
        "percent": lambda share: _formatted(None if share is None else 100 * share, ".2f"),
        "short_count": short_count,
        "spread": spread_text,
        "svg": _svg,
        "thousands": lambda value: _formatted(value, ","),
    }
    return environment


def _visible(value: object) -> object:
    """Escape the invisible characters of a value."""
    return value if isinstance(value, Markup) else printable(str(value))


def _prose(sentences: Iterable[str]) -> Markup:
    """Join sentences, without line breaks between numbers and percent signs."""
    text = str(escape(printable(" ".join(sentences))))
    return Markup(_PERCENT.sub("&nbsp;%", text))  # noqa: S704 - escaped above


def _formatted(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _inks(number: int) -> str:
    """Return the CSS classes that match a swatch or bar to the lines of the group."""
    style = LineStyle.of(number)
    return f"ink{style.ink} dash{style.dash}"


def _svg(chart: LineChart) -> Markup:
    return Markup(lines_svg(chart))  # noqa: S704 - its only text from outside is escaped there


def _diagram(diagram: Diagram) -> Markup:
    errors = "; ".join(f"{curve.name} {100 * curve.error:.1f}" for curve in diagram.curves)
    label = f"Accuracy by confidence, {diagram.title}, percent. Calibration error: {errors}"
    return Markup(reliability_svg(diagram.curves, label))  # noqa: S704 - the label is escaped there


def _asset(name: str) -> Markup:
    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))  # noqa: S704 - a file of this package
