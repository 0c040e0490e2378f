"""`rsmtdf cache verify`: check that stores are intact."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import RichReporter, Text, err, out, show_json
from cli.options import Cache, Overrides, read_config, read_runtime

if TYPE_CHECKING:
    from pipeline.cache.verify import Check, Depth, VerifyReport
    from pipeline.cache.verify.report import CheckStatus

_STYLES: "dict[CheckStatus, str]" = {"ok": "green", "failed": "bold red", "skipped": "yellow"}


def verify(
    stores: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STORE]...", help="Stores as in `rsmtdf cache ls`; by default all."
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            help="A config whose scenes and teachers are on this machine, to render views and compute tokens again.",
        ),
    ] = None,
    overrides: Overrides = None,
    cache: Cache = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Skip the records' checksums, render 16 views.")
    ] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Render every view and compute the tokens of 128 views.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check files, checksums, pixels and tokens; exit with status 1 if a check fails.

    The command writes no files and downloads none.
    """
    from pipeline.cache.verify import verify as verify_stores
    from rsmtdf_core.errors import ConfigError

    if quick and deep:
        raise ConfigError("--quick and --deep exclude each other", remedy="give one of them")
    if overrides and config is None:
        raise ConfigError("--set needs a config", remedy="give --config")
    experiment = None if config is None else read_config(config, overrides, cache)
    runtime = read_runtime(cache) if experiment is None else experiment.runtime
    depth: Depth = "quick" if quick else "deep" if deep else "normal"
    report = verify_stores(runtime.cache_folder, stores or (), experiment, depth, RichReporter())
    if json:
        show_json(report)
    else:
        show_report(report)
    if report.failed:
        raise typer.Exit(1)


def show_report(report: "VerifyReport") -> None:
    """Print each store's checks, and their number."""
    for store in report.stores:
        out.print(Text(store.store, style="bold"), soft_wrap=True)
        for check in store.checks:
            out.print(_line(check), soft_wrap=True)
    checks = [check.status for store in report.stores for check in store.checks]
    counts = ", ".join(f"{checks.count(status)} {status}" for status in _STYLES)
    out.print(f"{len(report.stores)} stores: {counts}, in {report.seconds:.1f} s")
    if report.failed:
        err.print(f"{report.failed} checks failed", style="bold red")


def _line(check: "Check") -> Text:
    line = Text(f"  {check.name:<10} ")
    line.append(f"{check.status:<8}", style=_STYLES[check.status])
    line.append(check.sentence)
    for label, text in (("where", check.where), ("fix", check.remedy)):
        if text:
            line.append(f"\n             {label + ':':<6} {text}")
    return line
