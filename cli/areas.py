"""`rsmtdf areas`: the area of each class of maps, with confidence intervals (tests: pipeline/areas/test_run.py)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import RichReporter, out, show, table

if TYPE_CHECKING:
    from rsmtdf_core.evaluation.areas import AreaReport, Estimate


def areas(
    maps: Annotated[
        list[Path],
        typer.Argument(metavar="MAP...", help="Maps of `rsmtdf predict`, or folders of them."),
    ],
    truth: Annotated[
        Path,
        typer.Option(
            help="A GeoTIFF with the class ids of reference pixels, nodata elsewhere, on the grid of the map; or a "
            "folder with one of the same name for each map."
        ),
    ],
    file: Annotated[
        Path | None, typer.Option("--out", help="Also write the report as JSON.")
    ] = None,
) -> None:
    """Estimate the area of each class from reference pixels, with confidence intervals of 95 %.

    Counting a map's pixels is biased: errors of a large class outweigh a small one. The reference pixels, a random
    sample of each class of the map, correct the counts (Olofsson et al. 2014). User's accuracy is the share of a mapped
    area that is right, producer's accuracy the share of a true area that is mapped.
    """
    from pipeline.areas.run import areas as estimate

    _show(estimate(maps, truth, file, RichReporter()))
    if file is not None:
        show("written to", file)


def _show(report: "AreaReport") -> None:
    title = f"Areas in {report.unit}, of {report.total:,.6g}"
    shown = table(title, "class", "mapped", "estimated", "user's", "producer's", "sampled")
    for row in report.classes:
        shown.add_row(
            row.name,
            f"{row.mapped:,.6g}",
            f"{row.area.value:,.6g} ± {row.area.margin:,.3g}",
            _share(row.users),
            _share(row.producers),
            f"{row.sampled:,}",
        )
    out.print(shown)
    out.print(f"overall accuracy {_share(report.overall)} %")
    for sentence in report.notes:
        out.print(sentence, style="dim")


def _share(estimate: "Estimate | None") -> str:
    if estimate is None:
        return "-"
    return f"{100 * estimate.value:.2f} ± {100 * estimate.margin:.2f}"
