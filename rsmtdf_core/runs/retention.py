"""Retention of checkpoints: keep the latest and the best, and delete others so that a kill leaves no partial one."""

import shutil
from collections.abc import Collection
from pathlib import Path

from rsmtdf_core.files import copy_file, sync_folder
from rsmtdf_core.refusals import writing
from rsmtdf_core.runs.checkpoint import checkpoints_in
from rsmtdf_core.runs.checkpoint_state import checkpoint_name

_TEMPORARY = ".tmp"


def keep_copy(checkpoint: Path, folder: Path) -> None:
    """Copy `checkpoint` to `folder`, by hard links if possible.

    Raises:
        WriteError: If a file cannot be written, for example because the disk is full; the partial copy is deleted.
    """
    kept = folder / checkpoint.name
    temporary = folder / f"{kept.name}{_TEMPORARY}"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with writing(temporary):
            temporary.mkdir(parents=True)
        for file in checkpoint.iterdir():
            _link_or_copy(file, temporary / file.name)
        if kept.is_dir():
            _delete(kept)
        with writing(kept, temporary):
            temporary.rename(kept)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(folder)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        copy_file(source, target)


def keep_only(folder: Path, names: Collection[str]) -> None:
    """Delete the checkpoints in `folder` except those with these names."""
    for path in checkpoints_in(folder):
        if path.name not in names:
            _delete(path)


def drop_old(folder: Path, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints in `folder`."""
    for path in checkpoints_in(folder)[:-keep]:
        _delete(path)


def _delete(path: Path) -> None:
    # Renamed first, so that a partly deleted folder does not look like a damaged checkpoint.
    gone = path.with_name(f"gone-{path.name}{_TEMPORARY}")
    shutil.rmtree(gone, ignore_errors=True)
    path.rename(gone)
    shutil.rmtree(gone)


def clear_leftovers(folder: Path) -> None:
    """Delete partial writes and partial deletions of killed processes."""
    for path in folder.glob(f"*{_TEMPORARY}"):
        shutil.rmtree(path)


def set_aside(folder: Path, after: int) -> None:
    """Rename checkpoints of more than `after` steps to `damaged-step-*`.

    A run that resumes from an earlier step will write them again. Until then, they must not count as
    the latest or the best.
    """
    for path in checkpoints_in(folder):
        if path.name > checkpoint_name(after):
            rename_damaged(path)


def rename_damaged(path: Path) -> Path:
    """Rename a checkpoint to `damaged-step-*` and return its new path."""
    aside = path.with_name(f"damaged-{path.name}")
    shutil.rmtree(aside, ignore_errors=True)
    return path.rename(aside)
