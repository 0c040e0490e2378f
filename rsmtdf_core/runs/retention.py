"""Which checkpoints stay: the latest, and the best under names of their own. A kill leaves none half deleted."""

import shutil
from collections.abc import Collection
from pathlib import Path

from rsmtdf_core.files import copy_file, sync_folder
from rsmtdf_core.refusals import writing
from rsmtdf_core.runs.checkpoint import checkpoints_in
from rsmtdf_core.runs.checkpoint_state import checkpoint_name

_TEMPORARY = ".tmp"


def keep_copy(checkpoint: Path, folder: Path) -> None:
    """Put `checkpoint` into `folder` too; its files are linked, or copied where links cannot be made.

    Raises:
        WriteError: a file cannot be written, say as the disk is full; then nothing of the copy is kept.
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
    """Delete the checkpoints in `folder` that have other names."""
    for path in checkpoints_in(folder):
        if path.name not in names:
            _delete(path)


def drop_old(folder: Path, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints in `folder`."""
    for path in checkpoints_in(folder)[:-keep]:
        _delete(path)


def _delete(path: Path) -> None:
    # Renamed first: what a kill leaves behind must not look like a damaged checkpoint.
    gone = path.with_name(f"gone-{path.name}{_TEMPORARY}")
    shutil.rmtree(gone, ignore_errors=True)
    path.rename(gone)
    shutil.rmtree(gone)


def clear_leftovers(folder: Path) -> None:
    """Delete what killed processes left half written or half deleted."""
    for path in folder.glob(f"*{_TEMPORARY}"):
        shutil.rmtree(path)


def set_aside(folder: Path, after: int) -> None:
    """Rename checkpoints of more than `after` steps to `damaged-step-*`.

    A run that goes on before them will write them anew, and meanwhile they count neither as the
    latest nor as the best.
    """
    for path in checkpoints_in(folder):
        if path.name > checkpoint_name(after):
            rename_damaged(path)


def rename_damaged(path: Path) -> Path:
    """Rename a checkpoint to `damaged-step-*`; its new path."""
    aside = path.with_name(f"damaged-{path.name}")
    shutil.rmtree(aside, ignore_errors=True)
    return path.rename(aside)
