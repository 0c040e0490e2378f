"""Find a checkpoint of a run: the best, the last, or that of a step."""

import os
from pathlib import Path

from rsmtdf_core.errors import RunError
from rsmtdf_core.runs.checkpoint import (
    Checkpoint,
    checkpoints_in,
    first_whole,
    load_checkpoint,
)
from rsmtdf_core.runs.checkpoint_state import checkpoint_name
from rsmtdf_core.runs.folder import RunFolder
from rsmtdf_core.runs.history import ranked

Choice = str | int | os.PathLike[str]
"""`best`, `last`, a number of steps, or the folder of a checkpoint."""


def chosen_checkpoint(
    run: RunFolder, choice: Choice | None = None, option: str = "--checkpoint"
) -> Checkpoint:
    """Load a checkpoint of a run.

    Args:
        run: the run's folder.
        choice: `best` (as None) for the best validation; `last` for the newest; a number of trained steps; or the
            folder of a checkpoint. The words win over folders of these names.
        option: the command-line option that names the checkpoint, for errors.

    Raises:
        RunError: If there is no such checkpoint, or it is damaged; the error lists the steps that exist.
    """
    text = (
        "best"
        if choice is None
        else os.fspath(choice)
        if not isinstance(choice, int)
        else str(choice)
    )
    if text == "best":
        return best_checkpoint(run, option)
    if text == "last":
        return _of_step(run, max(_steps(run), default=None), option)
    if text.isascii() and text.isdigit():
        return _of_step(run, int(text), option)
    path = Path(text)
    if not path.exists():
        raise RunError("there is no such checkpoint", where=path, remedy=_existing(run, option))
    return load_checkpoint(path)


def _of_step(run: RunFolder, step: int | None, option: str) -> Checkpoint:
    copies = [] if step is None else _steps(run).get(step, [])
    if not copies:
        problem = "the run has no checkpoint" + ("" if step is None else f" of step {step}")
        raise RunError(problem, where=run.path, remedy=_existing(run, option))
    damages: list[str] = []
    checkpoint = first_whole(copies, damages.append)
    if checkpoint is None:
        raise RunError(
            f"the checkpoint of step {step} is damaged: {damages[0]}",
            where=copies[0],
            remedy=_instead_of(run, copies[0], option),
        )
    return checkpoint


def _steps(run: RunFolder) -> dict[int, list[Path]]:
    """Return the checkpoints of a run by number of trained steps, with all copies of each."""
    steps: dict[int, list[Path]] = {}
    for path in [*checkpoints_in(run.checkpoints), *checkpoints_in(run.best)]:
        steps.setdefault(int(path.name.removeprefix("step-")), []).append(path)
    return dict(sorted(steps.items()))


def _existing(run: RunFolder, option: str) -> str:
    """Return the remedy for a checkpoint that does not exist: the steps that do."""
    steps = list(_steps(run))
    if not steps:
        return f"rsmtdf train {run.config} --run {run.path} --resume"
    best = next((noted["step"] for noted in run.facts.get("best") or ()), None)
    listed = ", ".join(f"{step} (best)" if step == best else str(step) for step in steps)
    return f"use {option} best, {option} last, or one of the steps that exist: {listed}"


def best_checkpoint(run: RunFolder, option: str = "--checkpoint") -> Checkpoint:
    """Load the checkpoint with the best validation, or the newest if none was validated.

    Args:
        run: the run's folder.
        option: the command-line option that names another checkpoint, for errors.

    Raises:
        RunError: If there is no checkpoint, or the best is damaged; the error then names another one.
    """
    path, expected = _best(run)
    try:
        checkpoint = load_checkpoint(path)
    except RunError as error:
        raise RunError(
            f"the best checkpoint, {path.name}, is damaged: {error.what}",
            where=error.where,
            remedy=_instead_of(run, path, option),
        ) from None
    if expected not in (None, checkpoint.fingerprint):
        raise RunError(
            f"the best checkpoint, {path.name}, is not the one that run.json names",
            where=path,
            remedy=_instead_of(run, path, option),
        )
    return checkpoint


def _best(run: RunFolder) -> tuple[Path, str | None]:
    """Return the best checkpoint's folder, and its fingerprint if run.json has it."""
    if noted := run.facts.get("best"):
        return run.best / checkpoint_name(noted[0]["step"]), noted[0]["checkpoint"]
    kept, latest = (checkpoints_in(folder)[::-1] for folder in (run.best, run.checkpoints))
    available = {path.name: path for path in [*latest, *kept]}
    names = [checkpoint_name(validation.steps) for validation in ranked(run.validations)]
    scored = [available[name] for name in names if name in available]
    newest = sorted(available.values(), key=lambda path: path.name, reverse=True)
    if not newest:
        raise RunError(
            "the run has no checkpoint",
            where=run.path,
            remedy=f"rsmtdf train {run.config} --run {run.path} --resume",
        )
    return (scored or newest)[0], None


def _instead_of(run: RunFolder, damaged: Path, option: str) -> str:
    """Return the remedy for a damaged checkpoint: the option with another checkpoint that is intact."""
    others = [*checkpoints_in(run.best), *checkpoints_in(run.checkpoints)]
    # Another copy of the same step first, then the nearest steps.
    number = int(damaged.name.removeprefix("step-"))
    others = sorted(
        (path for path in others if path != damaged),
        key=lambda path: abs(int(path.name.removeprefix("step-")) - number),
    )
    other = first_whole(others, lambda _: None)
    if other is None:
        return f"no other checkpoint is intact; train again: rsmtdf train {run.config} --run NEW"
    return f"restore it, or use another checkpoint: {option} {other.path}"
