"""The page can be read with a screen reader, by keyboard, in both color schemes, and without color or scripts."""

import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.runs.report import page as templates
from pipeline.runs.report.ground import Ground
from pipeline.runs.report.page import render
from tests.pipeline.runs.report.pages import page_of
from tests.pipeline.runs.report.parsed_page import Element, Page

STYLE = (Path(templates.__file__).with_name("templates") / "page.css").read_text()
READABLE = 4.5  # WCAG 2.2, 1.4.3: contrast of text
VISIBLE = 3.0  # 1.4.11: contrast of marks


def pages() -> dict[str, Page]:
    full = page_of("name")
    single = replace(full, groups=full.groups[:1], costs=(), chains={"a": full.chains["name"]})
    empty = replace(
        full, panels=(), no_panels="none", suggestions=(), ground=Ground(2e6, 3, 1, True, 1, 0.0)
    )
    return {
        name: Page(render(page)) for name, page in (("full", full), ("one", single), ("no", empty))
    }


PAGES = pages()
each_page = pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)


def body(page: Page) -> Element:
    return page.root.find("body")[0]


@each_page
def test_headings_are_in_order_below_a_single_title(page):
    levels = [int(h.tag[1]) for h in page.root.find("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in pairwise(levels))
    assert page.root.find("html")[0].attributes["lang"] == "en"
    assert page.root.find("title")[0].text


@each_page
def test_the_answers_come_first_in_their_order(page):
    heads = [head.text for head in page.root.find("h2")]
    assert heads[:6] == [
        "How good is it?",
        "On which data?",
        "Compared with what?",
        "What to label next?",
        "What did it cost?",
        "Scores",
    ]


@each_page
def test_all_content_is_in_a_landmark_or_a_skip_link(page):
    children = [child for child in body(page).elements if child.tag != "script"]
    assert [child.tag for child in children] == ["a", "a", "header", "main", "footer"]
    assert page.count("main") == page.count("nav") == 1
    targets = {element.attributes.get("id"): element for element in page.root.walk()}
    for link in children[:2]:
        # A target without a tabindex gets no focus in some browsers, so that the next tab starts at the top again.
        assert targets[link.attributes["href"].removeprefix("#")].attributes["tabindex"] == "-1"
    for region in page.root.find("section", "nav"):
        assert region.attributes.keys() & {"aria-label", "aria-labelledby"} or region.find("h3")


@each_page
def test_ids_are_unique_and_references_have_a_target(page):
    counts = Counter(e.attributes["id"] for e in page.root.walk() if "id" in e.attributes)
    assert max(counts.values()) == 1
    for element in page.root.walk():
        for name in ("href", "aria-labelledby", "aria-describedby"):
            if (value := element.attributes.get(name) or "").startswith("#") or "aria" in name:
                assert not value or value.removeprefix("#") in counts, value


@each_page
def test_tables_have_captions_and_scopes_and_scroll_by_keyboard(page):
    regions = [e for e in page.root.walk() if e.attributes.get("role") == "region"]
    tables = page.root.find("table")
    assert tables == [table for region in regions for table in region.find("table")]
    for region in regions:
        assert region.attributes["class"].split()[0] == "scroll"
        assert region.attributes["tabindex"] == "0"
        assert region.attributes["aria-label"]
    for table in tables:
        assert table.elements[0].tag == "caption"
        assert table.elements[0].text
        assert {cell.attributes.get("scope") for cell in table.find("th")} == {"col", "row"}
        rows = [len(row.elements) for row in table.find("tr")]
        assert len(set(rows)) == 1, "each row has a cell for each column"


@each_page
def test_figures_say_what_they_show_with_its_numbers(page):
    for image in page.root.find("img"):
        name = image.attributes["alt"]
        assert re.search(r"scene .+: .+", name), "the content follows the name of the scene"
    pictures = page.root.find("svg")
    assert pictures
    for picture in pictures:
        assert picture.attributes["role"] == "img"
        assert re.search(r"name.* \d", picture.attributes["aria-label"]), "a value of each group"
    names = [picture.attributes["aria-label"] for picture in pictures]
    assert len(set(names)) == len(names)


@each_page
def test_details_have_a_summary_and_nothing_needs_a_script(page):
    for details in page.root.find("details"):
        assert details.elements[0].tag == "summary"
        assert details.elements[0].text
    assert not page.root.find("button", "input", "select", "form", "iframe", "object", "template")
    for element in page.root.walk():
        assert not any(name.startswith("on") for name in element.attributes)
        assert int(element.attributes.get("tabindex") or 0) <= 0, "the order of the page"
        assert "hidden" not in element.attributes
        for name in ("src", "href", "action", "srcset", "data", "poster", "xlink:href"):
            assert (element.attributes.get(name) or "#").startswith(("#", "data:"))
    assert not re.search(r"url\(|@import|@font-face", STYLE)


@each_page
def test_no_information_is_in_colors_alone(page):
    for swatch in (e for e in page.root.walk() if "swatch" in (e.attributes.get("class") or "")):
        parents = [e for e in page.root.walk() if any(child is swatch for child in e.elements)]
        assert parents[0].text, "a name follows the color"
    for cell in (e for e in page.root.walk() if "cell" in (e.attributes.get("class") or "")):
        assert re.search(r"\d", cell.text)
    for bar in page.root.find("dd"):
        assert re.search(r"\d|-", bar.text)


def test_focus_is_visible():
    assert re.search(r":focus-visible \{ outline: [1-9]", STYLE)
    removed = re.findall(r"([^{}\n]*)\{[^{}]*outline: (?:none|0)", STYLE)
    # They are targets of links, which nobody reaches by tab.
    assert [selector.strip() for selector in removed] == ["main:focus, nav:focus"]


def test_a_printed_page_has_all_details():
    printed = STYLE.partition("@media print")[2]
    assert "details::details-content { content-visibility: visible" in printed


def colors(dark: bool) -> dict[str, tuple[int, ...]]:
    """The variables of a color scheme, 0 to 255."""
    light_part, dark_part = STYLE.split("@media (prefers-color-scheme: dark)")
    parts = [light_part, dark_part.partition("\n}\n")[0]][: 1 + dark]
    pairs = [pair for part in parts for pair in re.findall(r"--([\w-]+): #(\w{6});", part)]
    return {name: tuple(bytes.fromhex(value)) for name, value in pairs}


def contrast(first, second) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def luminance(color) -> float:
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in map(share, color)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def share(channel: float) -> float:
    return channel / 255


def mixed(first, second, percent: int) -> tuple[float, ...]:
    return tuple(
        (percent * a + (100 - percent) * b) / 100 for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("dark", [False, True])
def test_text_and_marks_have_contrast_in_both_schemes(dark):
    scheme = colors(dark)
    assert scheme["paper"] == (20, 24, 28) if dark else scheme["paper"] == (255, 255, 255)
    texts = [("ink", ground) for ground in ("paper", "card", "caution", "track")]
    texts += [("muted", "paper"), ("muted", "card"), ("link", "paper"), ("alarm-ink", "alarm")]
    for text, ground in texts:
        assert contrast(scheme[text], scheme[ground]) >= READABLE, (text, ground)
    for shade in range(0, 101, 5):  # cells of a confusion matrix
        for color in ("right", "wrong"):
            cell = mixed(scheme[color], scheme["card"], shade)
            assert contrast(scheme["ink"], cell) >= READABLE, (color, shade)
    for mark in ("link", *(f"ink{number}" for number in range(6))):
        assert contrast(scheme[mark], scheme["paper"]) >= VISIBLE, mark
