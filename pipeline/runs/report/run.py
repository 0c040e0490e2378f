"""The report stage: writes an HTML page about runs."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.reporter import Reporter, Silent
from pipeline.runs.compare import Comparison
from pipeline.runs.compare.scoring import ReportSplit
from pipeline.runs.report.costs import StoreCost
from pipeline.runs.report.gather import gather
from pipeline.runs.report.page import render
from rsmtdf_core.errors import RunError
from rsmtdf_core.files import atomic_file, require_writable
from rsmtdf_core.settings import Settings

OUT = Path("report.html")
SCENES = 4


class Report(Settings):
    """The result of the report stage.

    Attributes:
        path: the HTML file.
        comparison: the scores in the page.
        stores: cost of stage one for the stores that the runs read.
        panels: number of scenes in the page.
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
    """Write a page about runs. The same runs give the same bytes.

    Args:
        paths: folders of runs, or folders that contain runs.
        out: the HTML file; an existing file is replaced.
        split: split of the evaluation reports to show.
        scenes: number of evenly spaced scenes to show as panels; the worst ones follow. 0 shows none.
        root: the data root; None uses the root in the config of the first run.
        reporter: shows progress.

    Raises:
        RunError: If there is no run, if a run is damaged or was not scored on the split, if the runs have
            different datasets, or if `out` is a folder.
        WriteError: If the file cannot be written.
    """
    if out.is_dir():
        raise RunError("this is a folder, not a file", where=out, remedy=f"--out {out / OUT.name}")
    require_writable(out)
    page = gather(paths, split, scenes, root, reporter or Silent())
    with atomic_file(out) as file:
        file.write(render(page).encode())
    return Report(
        path=out,
        comparison=page.comparison,
        stores=page.costs,
        panels=len(page.panels),
    )
