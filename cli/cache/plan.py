"""`rsmtdf cache plan`: whether caching pays on this machine, and how."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cli.console import RichReporter, Text, out, show_json, table
from cli.options import Cache, Config, Overrides, read_config
from rsmtdf_core.words import bytes_text

if TYPE_CHECKING:
    from pipeline.cache.plan import PlanReport
    from pipeline.cache.plan.values import Estimate, StoreEstimate


def plan(
    config: Config,
    overrides: Overrides = None,
    cache: Cache = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print everything as JSON in place of tables.")
    ] = False,
) -> None:
    """Measure teachers, student and disk, and say whether to cache, in which codec and how many views.

    Takes about a minute and writes nothing but one temporary file.
    """
    from pipeline.cache.plan import plan_cache

    report = plan_cache(read_config(config, overrides, cache), RichReporter())
    if json:
        show_json(report)
    else:
        show_plan(report)


def show_plan(report: "PlanReport") -> None:
    """Print what was measured, what each choice comes to, and the recommendation."""
    out.print(_measured_table(report))
    out.print(_stores_table(report))
    out.print(_choices_table(report))
    out.print(Text(_verdict(report), style="bold green" if report.advice.cache else "bold yellow"))
    for sentence in report.advice.reasons:
        out.print(Text(f"  - {sentence}"))
    for sentence in report.advice.caveats:
        out.print(Text(f"note: {sentence}", style="dim"))


def _measured_table(report: "PlanReport") -> Table:
    from pipeline.cache.plan import span

    found = report.measurements
    made = table(f"measured in {report.seconds:.0f} s on {found.device}", "", "")
    made.show_header = False
    for one in found.teachers:
        name = one.teacher if one.weights == "own" else f"{one.teacher} (RANDOM WEIGHTS)"
        made.add_row(f"teacher {name}, a view", span(one.seconds))
    made.add_row("rendering, a view on one core", span(found.render_seconds))
    made.add_row("student's step without teachers", span(found.step_seconds))
    made.add_row("sustained writing", f"{bytes_text(found.write_bandwidth)}/s")
    made.add_row("disk free", bytes_text(found.disk_free))
    return made


def _stores_table(report: "PlanReport") -> Table:
    """What each teacher's records come to in each codec."""
    from pipeline.cache.plan import span

    found = report.measurements
    views = found.views(found.unlabeled_views)
    title = f"records of {views} views (K = {found.unlabeled_views})"
    made = table(
        title, "teacher", "codec", "a view", "in all", "in the cache", "random reading", "a step"
    )
    names = [one.teacher for one in found.teachers]
    for place, name in enumerate(names):
        for codec in found.teachers[place].codecs:
            [one] = [
                each.stores[place] for each in report.advice.estimates if each.choice == codec.codec
            ]
            made.add_row(
                name,
                one.label,
                _size_of(one),
                bytes_text(one.bytes),
                f"{one.present}",
                f"{bytes_text(codec.read_bandwidth)}/s",
                span(one.read_seconds),
            )
        made.add_section()
    return made


def _choices_table(report: "PlanReport") -> Table:
    """What each choice of codecs comes to, one column a choice."""
    from pipeline.cache.plan import span

    estimates = report.advice.estimates
    made = table(
        f"{report.config}, one training of {report.measurements.epochs} epochs",
        "",
        *(one.choice for one in estimates),
    )

    def row(label: str, *cells: str) -> None:
        made.add_row(label, *cells)

    row("size", *(bytes_text(one.bytes) for one in estimates))
    row("of that missing", *(_missing(one) for one in estimates))
    row("extraction", *(span(one.extraction_seconds) for one in estimates))
    row("bound by", *(one.bound for one in estimates))
    row("reading, a step", *(_reading(one) for one in estimates))
    row("step from the cache", *(span(one.step_seconds) for one in estimates))
    row("step with the teachers", *(span(one.online_step_seconds) for one in estimates))
    row("speed-up", *(f"{one.speed_up:.2f}x" for one in estimates))
    row("pays after epochs", *(_after(one.epochs_to_pay) for one in estimates))
    row("pays after trainings", *(_after(one.experiments_to_pay) for one in estimates))
    row("largest K worth it", *(f"{one.largest_views} ({one.limit})" for one in estimates))
    return made


def _verdict(report: "PlanReport") -> str:
    advice = report.advice
    if not advice.cache:
        return "do not cache: --set objective.teachers=online"
    keys = [f"teachers.{teacher}.codec={codec}" for teacher, codec in advice.codecs.items()]
    keys.append(f"views.unlabeled_views={advice.unlabeled_views}")
    return f"cache: {' '.join(f'--set {key}' for key in keys)}"


def _size_of(one: "StoreEstimate") -> str:
    if not one.meaningful:
        return f"{bytes_text(one.bytes_a_view)} (means nothing)"
    return bytes_text(one.bytes_a_view) if one.exact else f"~{bytes_text(one.bytes_a_view)}"


def _missing(one: "Estimate") -> str:
    return bytes_text(one.missing_bytes) + ("" if one.fits else " (does not fit)")


def _reading(one: "Estimate") -> str:
    from pipeline.cache.plan import span

    return f"{span(one.read_seconds)} ({'hidden' if one.hidden else 'not hidden'})"


def _after(count: float | None) -> str:
    return "never" if count is None else f"{count:.3g}"
