"""From runs to one HTML file."""

from collections.abc import Sequence
from pathlib import Path
from string import Template

from pipeline.reporter import Reporter, Silent
from pipeline.runs.compare import Comparison
from pipeline.runs.compare.scoring import Split
from pipeline.runs.report.costs import StoreCost
from pipeline.runs.report.gather import gather
from pipeline.runs.report.page import body, title
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
    split: Split = "test",
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
    """
    if out.is_dir():
        raise RunError("this is a folder, not a file", where=out, remedy=f"--out {out / OUT.name}")
    material = gather(paths, split, scenes, root, reporter or Silent())
    page = Template(_asset("page.html")).substitute(
        title=title(material),
        style=_asset("page.css"),
        script=_asset("page.js"),
        body=body(material),
    )
    with atomic_file(out) as file:
        file.write(page.encode())
    return Report(
        path=out,
        comparison=material.comparison,
        stores=material.costs,
        panels=len(material.panels),
    )


def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
