"""What stage one cost, and the chain from scenes to report."""

from collections.abc import Iterable, Sequence

from pipeline.runs.report.chain import Link
from pipeline.runs.report.costs import StoreCost
from pipeline.runs.report.gather import Group
from pipeline.runs.report.markup import Html, element, joined, table
from rsmtdf_core.words import bytes_text, counted

_SHORT = 12  # digits of a fingerprint that are shown; the whole one is in its title


def cost_table(costs: Sequence[StoreCost]) -> Html:
    """Seconds and bytes of each store, and their sums."""
    if not costs:
        return element("p", "No run reads a store: stage one cost nothing.")
    gone = [one.key for one in costs if one.state == "gone"]
    there = [one for one in costs if one.state != "gone"]
    rows = [_cost_row(one) for one in costs]
    rows.append(
        [
            "together",
            "",
            "",
            f"{sum(one.views for one in there):,}",
            f"{sum(one.seconds for one in there):,.1f}",
            "",
            bytes_text(sum(one.bytes for one in there)),
            "",
        ]
    )
    heads = ("store", "teacher", "state", "views", "seconds", "ms a view", "on disk", "read by")
    missing = (
        f"Gone from the cache, so that their cost is not known any more: {', '.join(gone)}."
        if gone
        else ""
    )
    return joined(
        (
            element("p", "Paid once for each store, however many runs read it."),
            table(heads, rows, "Cost of each feature store"),
            *((element("p", missing, class_="caution"),) if gone else ()),
        )
    )


def _cost_row(one: StoreCost) -> list[str]:
    readers = counted(len(one.runs), "run")
    if one.state == "gone":
        return [one.key, one.teacher, "gone", "-", "-", "-", "-", readers]
    return [
        one.key,
        one.teacher,
        one.state,
        f"{one.views:,}",
        f"{one.seconds:,.1f}",
        f"{1000 * one.seconds / one.views:.1f}" if one.views else "-",
        bytes_text(one.bytes),
        readers,
    ]


def chain_list(groups: Sequence[Group]) -> Html:
    """A chain for each run; the first that reads stores is open, or the first of all."""
    runs = [one for group in groups for one in group.members]
    opened = next((one for one in runs if any(link.step == "store" for link in one.chain)), runs[0])
    return joined(
        element(
            "details",
            element("summary", one.name),
            _chain(one.chain),
            open="open" if one is opened else None,
        )
        for one in runs
    )


def _chain(links: Iterable[Link]) -> Html:
    return element("ol", *map(_link, links), class_="chain")


def _link(link: Link) -> Html:
    parts = [element("span", link.step, class_="step"), element("strong", link.name)]
    if link.fingerprint:
        parts.append(
            element("code", link.fingerprint[:_SHORT], title=f"fingerprint {link.fingerprint}")
        )
    if link.caution:
        parts.append(element("p", link.caution, class_="flag"))
    if link.facts:
        parts.append(element("ul", *(element("li", fact) for fact in link.facts)))
    return element("li", *parts)
