"""From runs to one HTML file."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.reporter import Reporter, Silent
from pipeline.runs.compare import Comparison
from pipeline.runs.compare.scoring import ReportSplit
from pipeline.runs.report.costs import StoreCost
from pipeline.runs.report.gather import gather
from pipeline.runs.report.page import render
from rsmtdf_core.errors import RunError
from rsmtdf_core.files import atomic_file
from rsmtdf_core.settings import Settings

OUT = Path("report.html")
SCENES = 4


class Report(Settings):
    """What was written.

    Attributes:
        path: the HTML file.
        comparison: the scores in it.
        stores: what stage one spent on the stores that the runs read.
        panels: scenes that are shown.
    """

    path: Path
    comparison: Comparison
    stores: tuple[StoreCost, ...]
    panels: int


def report(
    paths: Sequence[Path],
    out: Path = OUT,
    split: ReportSplit = "test",
    scenes: int = SCENES,
    root: Path | None = None,
    reporter: Reporter | None = None,
) -> Report:
    """Write a page on runs; the same runs give the same bytes.

    Args:
        paths: folders of runs, or folders that hold runs.
        out: the HTML file, replaced where it is there.
        split: the reports that `rsmtdf evaluate` wrote of it are shown.
        scenes: how many scenes are shown as panels.
        root: the data root, where it is not that of the runs' configs any more.
        reporter: shows progress.

    Raises:
        RunError: where there is no run, a run is damaged or was not scored on the split, the runs are of
            several datasets, or `out` is a folder.
        WriteError: the system refuses to write the file.
    """
    if out.is_dir():
        raise RunError("this is a folder, not a file", where=out, remedy=f"--out {out / OUT.name}")
    page = gather(paths, split, scenes, root, reporter or Silent())
    with atomic_file(out) as file:
        file.write(render(page).encode())
    return Report(
        path=out,
        comparison=page.comparison,
        stores=page.costs,
        panels=len(page.panels),
    )
