"""`rsmtdf cache plan`: recommend whether and how to cache on this machine."""

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
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Measure teachers, student and disk; recommend whether to cache, the codec and the number of views.

    Takes about a minute and writes only one temporary file.
    """
    from pipeline.cache.plan import plan_cache

    report = plan_cache(read_config(config, overrides, cache), RichReporter())
    if json:
        show_json(report)
    else:
        show_plan(report)


def show_plan(report: "PlanReport") -> None:
    """Print the measurements, the estimate of each choice, and the recommendation."""
    out.print(_measured_table(report))
    out.print(_stores_table(report))
    out.print(_choices_table(report))
    out.print(Text(_verdict(report), style="bold green" if report.advice.cache else "bold yellow"))
    for sentence in report.advice.reasons:
        out.print(Text(f"  - {sentence}"))
    for sentence in report.advice.caveats:
        out.print(Text(f"note: {sentence}", style="dim"))


def _measured_table(report: "PlanReport") -> Table:
    from rsmtdf_core.words import span

    measured = report.measurements
    rows = table(f"measured in {report.seconds:.0f} s on {measured.device}", "", "")
    rows.show_header = False
    for teacher in measured.teachers:
        random = "" if teacher.weights == "own" else " (RANDOM WEIGHTS)"
        rows.add_row(f"teacher {teacher.teacher}{random}, a view", span(teacher.seconds))
    rows.add_row("rendering, a view on one core", span(measured.render_seconds))
    rows.add_row("student's step without teachers", span(measured.step_seconds))
    rows.add_row("sustained writing", f"{bytes_text(measured.write_bandwidth)}/s")
    rows.add_row("disk free", bytes_text(measured.disk_free))
    return rows


def _stores_table(report: "PlanReport") -> Table:
    """Tabulate the size and speed of each teacher's records in each codec."""
    from rsmtdf_core.words import span

    measured = report.measurements
    views = measured.views(measured.unlabeled_views)
    title = f"records of {views} views (K = {measured.unlabeled_views})"
    rows = table(
        title, "teacher", "codec", "a view", "in all", "in the cache", "random reading", "a step"
    )
    for index, teacher in enumerate(measured.teachers):
        for codec in teacher.codecs:
            [store] = [
                choice.stores[index]
                for choice in report.advice.estimates
                if choice.choice == codec.codec
            ]
            rows.add_row(
                teacher.teacher,
                store.label,
                _size_of(store),
                bytes_text(store.bytes),
                f"{store.present}",
                f"{bytes_text(codec.read_bandwidth)}/s",
                span(store.read_seconds),
            )
        rows.add_section()
    return rows


def _choices_table(report: "PlanReport") -> Table:
    """Tabulate the estimates, one column per choice of codecs."""
    from rsmtdf_core.words import span

    estimates = report.advice.estimates
    rows = table(
        f"{report.config}, one training of {report.measurements.epochs} epochs",
        "",
        *(choice.choice for choice in estimates),
    )

    def row(label: str, *cells: str) -> None:
        rows.add_row(label, *cells)

    row("size", *(bytes_text(choice.bytes) for choice in estimates))
    row("missing", *(_missing(choice) for choice in estimates))
    row("extraction", *(span(choice.extraction_seconds) for choice in estimates))
    row("bound by", *(choice.bound for choice in estimates))
    row("reading, a step", *(_reading(choice) for choice in estimates))
    row("step from the cache", *(span(choice.step_seconds) for choice in estimates))
    row("step with the teachers", *(span(choice.online_step_seconds) for choice in estimates))
    row("one training, no validations", *(span(choice.training_seconds) for choice in estimates))
    row("speed-up", *(f"{choice.speed_up:.2f}x" for choice in estimates))
    row("pays after epochs", *(_after(choice.epochs_to_pay) for choice in estimates))
    row("pays after trainings", *(_after(choice.experiments_to_pay) for choice in estimates))
    row(
        "largest worthwhile K",
        *(f"{choice.largest_views} ({choice.limit})" for choice in estimates),
    )
    return rows


def _verdict(report: "PlanReport") -> str:
    advice = report.advice
    if not advice.cache:
        return "do not cache: --set objective.teachers=online"
    keys = [f"teachers.{teacher}.codec={codec}" for teacher, codec in advice.codecs.items()]
    keys.append(f"views.unlabeled_views={advice.unlabeled_views}")
    return f"cache: {' '.join(f'--set {key}' for key in keys)}"


def _size_of(store: "StoreEstimate") -> str:
    size = bytes_text(store.bytes_a_view)
    if not store.meaningful:
        return f"{size} (random weights)"
    return size if store.exact else f"~{size}"


def _missing(choice: "Estimate") -> str:
    return bytes_text(choice.missing_bytes) + ("" if choice.fits else " (does not fit)")


def _reading(choice: "Estimate") -> str:
    from rsmtdf_core.words import span

    return f"{span(choice.read_seconds)} ({'hidden' if choice.hidden else 'not hidden'})"


def _after(count: float | None) -> str:
    return "never" if count is None else f"{count:.3g}"
