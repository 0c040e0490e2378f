"""Start a run in a folder, resume the run in it, or replace it (tests: test_folder.py)."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rsmtdf_core.errors import RunError
from rsmtdf_core.files import PROBE
from rsmtdf_core.roles import ConfigSettings
from rsmtdf_core.runs.folder import FORMAT, RunFolder, open_run
from rsmtdf_core.runs.resuming import GlobalBatch, changed_settings
from rsmtdf_core.runs.seals import (
    is_whole_text,
    promised_text,
    sealed_text,
    write_sealed_json,
    write_sealed_text,
)
from rsmtdf_core.settings import Settings
from rsmtdf_core.store.locks import LOCK
from rsmtdf_core.validation import dump_yaml


def prepare_run(
    folder: RunFolder,
    config: ConfigSettings,
    manifest: Settings,
    *,
    resume: bool,
    overwrite: bool,
    initial: Mapping[str, str] | None = None,
    trained_on: Settings | None = None,
    batch: GlobalBatch | None = None,
) -> None:
    """Create the folder of a new run, or verify and update that of the run to resume.

    Args:
        folder: the folder of the run.
        config: the experiment's config. A resumed run may change `evaluation.inference.batch` and
            `runtime` except for `runtime.precision`; it keeps the new values. Its
            `optimiser.batch` may change with the number of processes.
        manifest: the dataset's manifest. A resumed run may change its `title`, `notes` and `protocols`.
        resume: whether to resume an existing run.
        overwrite: whether to delete an existing run.
        initial: the initial weights of a new run, for run.json.
        trained_on: the manifest that lists the training scenes of the initial weights, if another program trained them.
        batch: the batch of a step; a resumed run keeps its total.

    Raises:
        RunError: If `require_startable` raises it, or the run to resume has other settings.
        ConfigError: If the config or the manifest of the run to resume is damaged.
    """
    require_startable(folder, resume=resume, overwrite=overwrite)
    if folder.path.is_dir():
        folder.sweep()
    if folder.marker.is_file():
        if overwrite:
            delete_run(folder)
        else:
            _restore_settings(folder, config, manifest)
            _require_same(folder, config, manifest, batch)
    is_new = not folder.marker.is_file()
    try:
        if is_new:
            started: dict[str, Any] = {} if initial is None else {"initial": dict(initial)}
            if batch is not None:
                started["batch"] = asdict(batch)
            write_sealed_json(folder.marker, FORMAT.stamped({"status": "running", **started}))
        for path, settings in (
            (folder.config, config),
            (folder.manifest, manifest),
            (folder.splits, trained_on),
        ):
            _write(path, settings)
    except OSError:
        if is_new:  # so that the same command works once the disk has space
            for path in (folder.config, folder.manifest, folder.splits, folder.marker):
                path.unlink(missing_ok=True)
        raise


def _write(path: Path, settings: Settings | None) -> None:
    if settings is not None:
        write_sealed_text(path, dump_yaml(settings))


def require_startable(folder: RunFolder, *, resume: bool, overwrite: bool) -> None:
    """Check that training may start in the folder, without writing to it.

    Raises:
        RunError: If the folder contains a run that is neither resumed nor overwritten, no run to resume, or
            files of something else than a run.
    """
    if folder.marker.is_file():
        if not (resume or overwrite):
            raise RunError(
                "the folder already contains a run",
                where=folder.path,
                remedy="continue it with --resume, replace it with --overwrite, or choose another --run",
            )
    elif folder.path.is_dir() and (folder.checkpoints.is_dir() or folder.best.is_dir()):
        open_run(folder.path)
    elif folder.path.is_dir() and not all(
        _is_marker_to_be(folder, path) for path in folder.path.iterdir()
    ):
        raise RunError(
            "the folder is not empty and is not a run folder",
            where=folder.path,
            remedy="choose another folder with --run",
        )
    elif resume:
        raise RunError("there is no run to resume", where=folder.path, remedy="omit --resume")


def _is_marker_to_be(folder: RunFolder, path: Path) -> bool:
    """Whether the file comes from a process that was killed before it had written the marker."""
    return path.name == LOCK or path.name.startswith(
        (f"{folder.marker.name}.tmp-", f"{PROBE}.tmp-")
    )


def delete_run(folder: RunFolder) -> None:
    """Delete the run's files; the folder stays, with its lock."""
    # The marker last: after a kill, --overwrite must still recognize the folder as a run.
    for path in folder.path.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path not in (folder.marker, folder.path / LOCK):
            path.unlink()
    folder.marker.unlink()


def _restore_settings(folder: RunFolder, config: ConfigSettings, manifest: Settings) -> None:
    """Rewrite a damaged config or manifest if the given settings match its checksum.

    A missing file is also written if the run was killed before its first checkpoint.
    """
    is_untrained = not (folder.checkpoints.is_dir() or folder.best.is_dir())
    for path, settings in ((folder.config, config), (folder.manifest, manifest)):
        if is_untrained and not os.path.lexists(path):
            write_sealed_text(path, dump_yaml(settings))
        promise, content = promised_text(path), sealed_text(dump_yaml(settings))
        if promise and content.startswith(promise) and not is_whole_text(path):
            write_sealed_text(path, dump_yaml(settings))


def _require_same(
    folder: RunFolder, config: ConfigSettings, manifest: Settings, batch: GlobalBatch | None
) -> None:
    open_run(folder.path)
    noted = folder.facts.get("batch")
    started = None if noted is None else GlobalBatch(**noted)
    ignored = "" if started is None or batch is None else "optimiser.batch:"
    changes = changed_settings(folder.config, config, folder.manifest, manifest)
    if changes := [change for change in changes if not ignored or not change.startswith(ignored)]:
        raise RunError(
            f"the config differs from the config of the run to resume: {'; '.join(changes)}",
            where=folder.config,
            remedy="undo the change, or start a new run with --run",
        )
    if started and batch:
        started.require_same_total(batch, folder.path)
