"""Which checkpoint of a run is best."""

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
    """The checkpoint with the best validation, or the newest one where none was validated.

    Args:
        run: its folder.
        option: of the command line, which names another checkpoint.

    Raises:
        RunError: where there is none, or where it is damaged, with the name of another one.
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
    """The best checkpoint's folder, and its fingerprint where run.json has it."""
    if noted := run.facts.get("best"):
        return run.best / checkpoint_name(noted[0]["step"]), noted[0]["checkpoint"]
    kept, latest = (checkpoints_in(place)[::-1] for place in (run.best, run.checkpoints))
    there = {path.name: path for path in [*latest, *kept]}
    names = [checkpoint_name(one.steps) for one in ranked(run.validations)]
    scored = [there[name] for name in names if name in there]
    newest = sorted(there.values(), key=lambda path: path.name, reverse=True)
    if not newest:
        raise RunError(
            "the run has no checkpoint",
            where=run.path,
            remedy=f"rsmtdf train {run.config} --run {run.path} --resume",
        )
    return (scored or newest)[0], None


def _instead_of(run: RunFolder, damaged: Path, option: str) -> str:
    """What to do where a checkpoint is damaged: the command with another one that is whole."""
    others = [*checkpoints_in(run.best), *checkpoints_in(run.checkpoints)]
    # The same step first, then those nearest to it.
    number = int(damaged.name.removeprefix("step-"))
    others = sorted(
        (path for path in others if path != damaged),
        key=lambda path: abs(int(path.name.removeprefix("step-")) - number),
    )
    other = first_whole(others, lambda _: None)
    if other is None:
        return f"no other is whole; train again: rsmtdf train {run.config} --run NEW"
    return f"restore it, or name another one: {option} {other.path}"
