"""The page's parts, from its warnings to the chain of provenance, in the order in which they are read."""

from collections.abc import Sequence

from pipeline.runs.compare import cells, columns
from pipeline.runs.compare.tables import spread_text
from pipeline.runs.report.charts import Series, line_chart
from pipeline.runs.report.figures import class_bars, confusion_table, group_legend, swatch
from pipeline.runs.report.gather import Group, Material
from pipeline.runs.report.markup import Html, element, joined, table
from pipeline.runs.report.origin import chain_list, cost_table
from pipeline.runs.report.swipe import legend, panel
from rsmtdf_core.evaluation.curves import metric_curve
from rsmtdf_core.evaluation.report import cautions
from rsmtdf_core.words import counted

_SUM = "each method's own sum"


def title(material: Material) -> Html:
    """What the browser's tab says."""
    count = sum(len(group.members) for group in material.groups)
    words = f"{material.comparison.dataset}, {material.split}: {counted(count, 'run')}"
    return joined((f"RANDOM WEIGHTS: {words}" if _random(material) else words,))


def body(material: Material) -> Html:
    """All that stands on the page."""
    sections = (
        ("scores", "Scores", _scores(material)),
        ("classes", "Classes", class_bars(material.groups, spread=material.several_seeds)),
        ("confusion", "Confusion", _confusion(material)),
        ("curves", "Training", _curves(material)),
        ("scenes", "Scenes", _scenes(material)),
        ("cost", "Cost of stage one", cost_table(material.costs)),
        ("provenance", "Provenance", chain_list(material.groups)),
    )
    links = (element("a", head, href=f"#{name}") for name, head, _ in sections)
    return joined(
        (
            _head(material),
            element("nav", *links, aria_label="Sections"),
            *(
                element("section", element("h2", head), inner, id=name)
                for name, head, inner in sections
            ),
            _foot(material),
        )
    )


def _random(material: Material) -> list[str]:
    return sorted({name for group in material.groups for name in group.scores.random_teachers})


def _head(material: Material) -> Html:
    found = material.first.report
    manifest = material.first.record.manifest
    said = (
        f"{found.images} scenes of the {material.split} split, {found.weights} model, "
        f"protocol {found.protocol}"
    )
    alarms = cautions(_random(material), ())
    # The comparison says these too, among what is less than fair.
    warnings = [one for one in material.comparison.warnings if one not in alarms]
    parts = [element("p", sentence, class_="alarm", role="alert") for sentence in alarms]
    parts += [element("h1", manifest.title), element("p", said, class_="lead")]
    if warnings:
        listed = element("ul", *(element("li", sentence) for sentence in warnings))
        parts.append(element("div", element("strong", "Read this first"), listed, class_="caution"))
    return element("header", *parts)


def _scores(material: Material) -> Html:
    comparison = material.comparison
    rows = (cells(group, classes=False) for group in comparison.groups)
    inked = [[joined((swatch(at), name)), *row] for at, (name, *row) in enumerate(rows)]
    more = ": mean ± sample standard deviation over the seeds" if material.several_seeds else ""
    measure = f"{comparison.measure}, per cent{more}."
    return joined(
        (
            element("p", measure),
            table(columns(comparison, classes=False), inked, "Scores of each group over its seeds"),
            element("details", element("summary", "Each run"), _runs(material)),
            _other_protocols(material),
        )
    )


def _other_protocols(material: Material) -> Html:
    """MIoU by the further protocols that every run was scored by; the footer has their rules."""
    names = list(material.protocols)[1:]
    if not names:
        return Html("")
    rows = [
        [joined((swatch(at), group.label)), *(spread_text(group.miou(name)) for name in names)]
        for at, group in enumerate(material.groups)
    ]
    shown = table(("group", *names), rows, "mIoU of each group by other protocols")
    return element("details", element("summary", "mIoU by other protocols"), shown)


def _runs(material: Material) -> Html:
    rows = [
        [
            run.run,
            str(run.seed),
            _percent(run.miou),
            _percent(run.overall_accuracy),
            "-" if run.best_steps is None else f"{run.best_steps:,}",
            f"{run.steps:,}",
            run.status,
        ]
        for group in material.comparison.groups
        for run in group.runs
    ]
    heads = ("run", "seed", "mIoU", "pixel accuracy", "best step", "steps", "status")
    return table(heads, rows, "Scores of each run")


def _confusion(material: Material) -> Html:
    several = len(material.groups) > 1
    more = "; the seeds of a group are added up" if material.several_seeds else ""
    parts = [
        element("p", f"Where the pixels of each true class went, in per cent of its row{more}.")
    ]
    for number, group in enumerate(material.groups):
        inner = confusion_table(group)
        head = element("summary", swatch(number), group.label)
        opened = "open" if number == 0 else None
        parts.append(element("details", head, inner, open=opened) if several else inner)
    return joined(parts)


def _curves(material: Material) -> Html:
    groups = material.groups
    runs = [one.record for group in groups for one in group.members]
    losses = sorted({name for one in runs for line in one.lines for name in line if "loss" in name})
    captions = {"loss": _SUM}
    for record in runs:
        captions |= record.config.method.losses
    charts = [
        line_chart("Validation mIoU", _series(groups, "miou", scale=100), "per cent"),
        *(
            line_chart(name, _series(groups, name), captions.get(name, "training loss"))
            for name in losses
        ),
    ]
    if not any(charts):
        return element("p", "No metrics were recorded: these runs were imported.")
    return joined((group_legend(groups), element("div", *charts, class_="charts")))


def _series(groups: Sequence[Group], name: str, *, scale: float = 1.0) -> list[Series]:
    return [
        Series(
            number,
            tuple(metric_curve(one.record.lines, name, scale=scale) for one in group.members),
        )
        for number, group in enumerate(groups)
    ]


def _scenes(material: Material) -> Html:
    if not material.panels:
        return element("p", f"No scenes are shown: {material.no_panels}.")
    seeds = {group.members[0].record.config.seed for group in material.groups}
    said = (
        f"{counted(len(material.panels), 'scene')} at even distances through the {material.split} split; predictions "
        f"of the first seed of each group ({', '.join(map(str, sorted(seeds)))})."
    )
    return joined(
        (
            element("p", said),
            legend(material.first.record.manifest),
            element("div", *map(panel, material.panels), class_="panels"),
        )
    )


def _foot(material: Material) -> Html:
    notes = dict.fromkeys(
        note for group in material.groups for one in group.members for note in one.report.notes
    )
    return element(
        "footer",
        *(
            element("p", element("strong", f"Protocol {name}. "), rule)
            for name, rule in material.protocols.items()
        ),
        *(element("p", note) for note in notes),
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"
