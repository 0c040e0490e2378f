"""Scores by class as bars, and confusion matrices as shaded tables."""

from collections.abc import Sequence

import numpy as np

from pipeline.runs.compare.tables import spread_text
from pipeline.runs.report.charts import ink
from pipeline.runs.report.gather import Group
from pipeline.runs.report.markup import Html, element, joined, table
from rsmtdf_core.evaluation.pictures import short_count


def group_legend(groups: Sequence[Group]) -> Html:
    """The groups' inks and names."""
    entries = (element("li", swatch(at), group.label) for at, group in enumerate(groups))
    return element("ul", *entries, class_="legend")


def swatch(number: int) -> Html:
    """A square in a group's ink."""
    return element("span", class_=f"swatch {ink(number)}", aria_hidden="true")


def class_bars(groups: Sequence[Group], *, spread: bool) -> Html:
    """The IoU of each class, a bar for each group; `spread` makes room for its standard deviation."""
    names = list(groups[0].scores.classes)
    unscored = groups[0].members[0].record.manifest.unscored
    blocks = []
    for name in names:
        head = f"{name} (not scored)" if name in unscored else name
        bars = [_bar(number, group, name) for number, group in enumerate(groups)]
        blocks.append(element("div", element("dt", head), *bars, class_="bars"))
    more = ": the mean over the seeds, and one standard deviation to either side" if spread else ""
    return joined(
        (
            element("p", f"IoU in per cent{more}."),
            group_legend(groups),
            element("dl", *blocks, style=f"--numbers: {7.2 if spread else 3.2}rem"),
        )
    )


def _bar(number: int, group: Group, name: str) -> Html:
    spread = group.scores.classes[name]
    said = f"{group.label}: {spread_text(spread)}"
    mean = 0.0 if spread is None else 100 * spread.mean
    std = 0.0 if spread is None or spread.std is None else 100 * spread.std
    low, high = max(0.0, mean - std), min(100.0, mean + std)
    whisker = element("i", class_="whisker", style=f"left: {low:.2f}%; width: {high - low:.2f}%")
    track = element(
        "span",
        element("i", class_=f"bar {ink(number)}", style=f"width: {mean:.2f}%"),
        *((whisker,) if std else ()),
        class_="track",
        aria_hidden="true",
    )
    label = element("span", f"{group.label}: ", class_="unseen")
    number_text = element("span", label, spread_text(spread), class_="number")
    return element("dd", track, number_text, title=said)


def confusion_table(group: Group) -> Html:
    """The confusion matrix of a group, the pixels of its runs added up."""
    matrix = np.sum([one.report.matrix for one in group.members], axis=0)
    names = [one.name for one in group.members[0].report.scores.classes]
    rows = []
    for index, name in enumerate(names):
        counts = [int(count) for count in matrix[index]]
        pixels = sum(counts)
        shaded = [_cell(count, pixels, right=index == at) for at, count in enumerate(counts)]
        rows.append([name, *shaded, short_count(pixels)])
    label = f"Confusion matrix of {group.label}: a row for each true class"
    return element(
        "div", table(["truth \\ predicted", *names, "pixels"], rows, label), class_="matrix"
    )


def _cell(count: int, pixels: int, *, right: bool) -> Html:
    share = count / pixels if pixels else 0.0
    said = f"{100 * share:.1f}" if share >= 0.0005 or not count else "<0.1"
    kind = "right" if right else "wrong"
    # Below linear, so that the few per cent that matter among the errors can be seen.
    style = f"--share: {100 * share**0.7:.0f}%"
    return element("span", said, class_=f"cell {kind}", style=style, title=f"{count:,} pixels")
