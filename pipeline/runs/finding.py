"""Finds the runs in a folder. Damaged runs and other folders are listed as problems instead of raising an error."""

import os
from pathlib import Path
from typing import Literal

from pipeline.runs.record import read_run
from pipeline.runs.summary import RunSummary, summarize
from pipeline.sections import RuntimeSettings
from rsmtdf_core.errors import RsmtdfError, RunError
from rsmtdf_core.runs.folder import RunFolder
from rsmtdf_core.settings import Settings

SortKey = Literal["best", "name", "date"]

_DEPTH = 4  # levels to search below the given folder, so that the whole disk is never searched


class RunProblem(Settings):
    """A folder that is not a run, or a damaged run.

    Attributes:
        run: path of the folder, relative to the searched folder.
        problem: description of the problem, in one line.
    """

    run: str
    problem: str


class RunList(Settings):
    """The runs in a folder.

    Attributes:
        folder: the searched folder.
        runs: the runs in the requested order.
        problems: other folders and unreadable runs, sorted by name.
    """

    folder: Path
    runs: tuple[RunSummary, ...]
    problems: tuple[RunProblem, ...]


def list_runs(folder: Path | None = None, sort: SortKey = "name") -> RunList:
    """List the runs in a folder.

    Args:
        folder: a run, or a folder to search up to four levels deep, without hidden folders and links; None searches the
            default folder of trainings.
        sort: best mIoU first, by name, or newest first.

    Raises:
        RunError: If the folder does not exist or contains no run.
    """
    folder = folder or Path(RuntimeSettings().runs)
    run_folders, other_folders = find_runs(folder)
    runs: list[RunSummary] = []
    problems = [RunProblem(run=_name(path, folder), problem="not a run") for path in other_folders]
    for path in run_folders:
        name = _name(path, folder)
        try:
            runs.append(summarize(read_run(path), name))
        except RsmtdfError as error:
            problems.append(RunProblem(run=name, problem=_line(error, path)))
        except OSError as error:
            problems.append(RunProblem(run=name, problem=f"the run cannot be read: {error}"))
    runs.sort(key=lambda run: run.run)
    if sort == "best":
        runs.sort(key=lambda run: -1.0 if run.best_miou is None else run.best_miou, reverse=True)
    elif sort == "date":
        runs.sort(key=lambda run: run.written, reverse=True)
    problems.sort(key=lambda problem: problem.run)
    return RunList(folder=folder, runs=tuple(runs), problems=tuple(problems))


def find_runs(folder: Path) -> tuple[list[Path], list[Path]]:
    """Find the runs in a folder, including damaged ones.

    Returns:
        The folders of runs, and the folders next to them that contain no run.

    Raises:
        RunError: If the folder does not exist or contains no run.
    """
    remedy = "give a folder that contains runs, or train a run: rsmtdf train CONFIG"
    if not folder.is_dir():
        raise RunError("the folder does not exist", where=folder, remedy=remedy)
    runs, others = _search(folder, _DEPTH)
    if not runs:
        raise RunError("there is no run here", where=folder, remedy=remedy)
    return runs, others


def _search(folder: Path, depth: int) -> tuple[list[Path], list[Path]]:
    run = RunFolder(folder)
    # A run without its marker file is damaged, but still a run.
    if run.marker.exists() or (run.config.is_file() and run.manifest.is_file()):
        return [folder], []
    runs: list[Path] = []
    others: list[Path] = []
    for child in _folders(folder) if depth else ():
        inner_runs, inner_others = _search(child, depth - 1)
        runs += inner_runs
        others += inner_others if inner_runs else [child]
    return runs, others


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:  # not readable, or deleted in the meantime
        return []
    return [folder / name for name in sorted(names) if not name.startswith(".")]


def _name(path: Path, folder: Path) -> str:
    return path.resolve().name if path == folder else str(path.relative_to(folder))


def _line(error: RsmtdfError, run: Path) -> str:
    """Format an error as one line, with the path of the affected file."""
    message = " ".join(error.what.split())
    if error.where is None or Path(error.where) == run:
        return message
    where = Path(error.where)
    return f"{where.relative_to(run) if where.is_relative_to(run) else where}: {message}"
