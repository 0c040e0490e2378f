"""Looks for runs below a folder; what is none, or is damaged, is told in a line and stops nothing."""

import os
from pathlib import Path
from typing import Literal

from pipeline.config import RuntimeSettings
from pipeline.runs.record import read_run
from pipeline.runs.summary import RunSummary, summarise
from rsmtdf_core.errors import RsmtdfError, RunError
from rsmtdf_core.runs.folder import RunFolder
from rsmtdf_core.settings import Settings

SortKey = Literal["best", "name", "date"]

_DEPTH = 4  # folders below the one asked for; a list of runs is no search of the disk


class RunProblem(Settings):
    """A folder that is no run, or not a whole one.

    Attributes:
        run: its path below the folder that was looked through.
        problem: what is wrong, in one line.
    """

    run: str
    problem: str


class RunList(Settings):
    """What was found below a folder.

    Attributes:
        folder: the one that was looked through.
        runs: in the order that was asked for.
        problems: folders that are no runs or cannot be read, by name.
    """

    folder: Path
    runs: tuple[RunSummary, ...]
    problems: tuple[RunProblem, ...]


def list_runs(folder: Path | None = None, sort: SortKey = "name") -> RunList:
    """Every run in or below a folder, by default the one that trainings write to.

    Args:
        folder: at most four levels below it are looked through; hidden folders and links are left out.
        sort: the best mIoU first, by name, or the newest first.

    Raises:
        RunError: where there is no such folder, or no run in it.
    """
    folder = folder or Path(RuntimeSettings().runs)
    found, others = find_runs(folder)
    runs: list[RunSummary] = []
    problems = [RunProblem(run=_name(path, folder), problem="no run in here") for path in others]
    for path in found:
        name = _name(path, folder)
        try:
            runs.append(summarise(read_run(path), name))
        except RsmtdfError as error:
            problems.append(RunProblem(run=name, problem=_line(error, path)))
        except OSError as error:
            problems.append(RunProblem(run=name, problem=f"it cannot be read: {error}"))
    runs.sort(key=lambda one: one.run)
    if sort == "best":
        runs.sort(key=lambda one: -1.0 if one.best_miou is None else one.best_miou, reverse=True)
    elif sort == "date":
        runs.sort(key=lambda one: one.written, reverse=True)
    problems.sort(key=lambda one: one.run)
    return RunList(folder=folder, runs=tuple(runs), problems=tuple(problems))


def find_runs(folder: Path) -> tuple[list[Path], list[Path]]:
    """The folders of runs in or below a folder, whole or not, and the folders beside them that hold none.

    Raises:
        RunError: where there is no such folder, or no run in it.
    """
    remedy = "name the folder that holds runs, or make one: rsmtdf train CONFIG"
    if not folder.is_dir():
        raise RunError("there is no such folder", where=folder, remedy=remedy)
    found, others = _search(folder, _DEPTH)
    if not found:
        raise RunError("there is no run here", where=folder, remedy=remedy)
    return found, others


def _search(folder: Path, depth: int) -> tuple[list[Path], list[Path]]:
    run = RunFolder(folder)
    # A run that lost its mark is damaged and not something else.
    if run.marker.exists() or (run.config.is_file() and run.manifest.is_file()):
        return [folder], []
    found: list[Path] = []
    others: list[Path] = []
    for child in _folders(folder) if depth else ():
        below, beside = _search(child, depth - 1)
        found += below
        others += beside if below else [child]
    return found, others


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [one.name for one in entries if one.is_dir(follow_symlinks=False)]
    except OSError:  # of another user, or gone by now
        return []
    return [folder / name for name in sorted(names) if not name.startswith(".")]


def _name(path: Path, folder: Path) -> str:
    return path.resolve().name if path == folder else str(path.relative_to(folder))


def _line(error: RsmtdfError, run: Path) -> str:
    """An error in one line, with the file's name where that is in the run's folder."""
    what = " ".join(error.what.split())
    if error.where is None or Path(error.where) == run:
        return what
    where = Path(error.where)
    return f"{where.relative_to(run) if where.is_relative_to(run) else where}: {what}"
