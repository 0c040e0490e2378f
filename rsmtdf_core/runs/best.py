"""Find the best checkpoint of a run."""

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
