"""`rsmtdf extract-features`: stage one."""

from typing import Annotated

import typer

from cli.console import LOADING, RichReporter, err, out, show, table
from cli.options import Cache, Config, Overrides, read_config
from rsmtdf_core.words import bytes_text


def extract_features(
    config: Config,
    overrides: Overrides = None,
    cache: Cache = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Address of a dask scheduler, e.g. tcp://host:8786; by default a cluster is started "
            "on this machine. All workers must see the data root and the cache."
        ),
    ] = None,
) -> None:
    """Run the teachers once over every view and save their tokens in the cache.

    Only missing tokens are computed, so a killed extraction continues if started again.
    """
    reporter = RichReporter()
    with reporter.status(LOADING):
        from pipeline.extract.run import ExtractReport, extract

    report: ExtractReport = extract(read_config(config, overrides, cache), scheduler, reporter)
    stores = table("features", "teacher", "views", "new", "size", "teacher s", "views/s")
    for store in report.stores:
        speed = f"{store.new / store.seconds:.1f}" if store.seconds else "-"
        name = f"{store.teacher} (RANDOM WEIGHTS)" if store.random_weights else store.teacher
        stores.add_row(
            name,
            str(store.views),
            str(store.new),
            bytes_text(store.bytes),
            f"{store.seconds:.1f}",
            speed,
        )
    out.print(stores)
    show("store", report.group)
    if report.rendered:
        rate = report.rendered / report.seconds
        out.print(
            f"{report.rendered} views in {report.seconds:.1f} s ({rate:.1f} views/s); "
            f"teachers waited {report.waiting_seconds:.1f} s for pixels and disk",
        )
    else:
        err.print(f"all features are already in the cache ({report.seconds:.1f} s)")
