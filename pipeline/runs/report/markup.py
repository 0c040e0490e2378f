"""HTML that cannot be broken by what users name things: every text is escaped unless it is HTML already."""

import base64
from collections.abc import Iterable, Sequence
from html import escape

from rsmtdf_core.words import printable

_VOID = frozenset({"img", "input", "path", "line", "rect", "circle", "polyline"})


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(tag: str, *children: str, **attributes: str | float | None) -> Html:
    """An element; children that are plain text are escaped.

    Args:
        tag: its name.
        children: text, or `Html`.
        attributes: `class_` is class and `aria_label` aria-label; those that are None are left out.
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(printable(str(value)))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _VOID:
        return Html(f"<{tag}{written}>" if tag in {"img", "input"} else f"<{tag}{written}/>")
    return Html(f"<{tag}{written}>{joined(children)}</{tag}>")


def joined(parts: Iterable[str]) -> Html:
    """Parts one after the other, plain text escaped."""
    return Html("".join(one if isinstance(one, Html) else escape(printable(one)) for one in parts))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], label: str) -> Html:
    """A table that scrolls inside its box; the first column heads its rows, the others are numbers.

    Args:
        heads: one a column.
        rows: cells, text or `Html`.
        label: says what the table holds, for those who do not see it.
    """
    head = element("tr", *(element("th", one, scope="col") for one in heads))
    body = [
        element(
            "tr", element("th", row[0], scope="row"), *(element("td", cell) for cell in row[1:])
        )
        for row in rows
    ]
    return scrolling(element("table", element("thead", head), element("tbody", *body)), label)


def scrolling(inner: Html, label: str) -> Html:
    """A box that scrolls by itself, also by keyboard, so that the page never does."""
    return element("div", inner, class_="scroll", tabindex=0, role="region", aria_label=label)


def data_uri(content: bytes, kind: str) -> str:
    """Bytes of media type `kind` as an address that needs no network."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
