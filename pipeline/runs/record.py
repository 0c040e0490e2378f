"""Reads and validates the files of a run, so that other modules can rely on them."""

import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.config import ExperimentConfig, load_config
from rsmtdf_core.errors import RunError, StoreDamagedError
from rsmtdf_core.files import read_json
from rsmtdf_core.runs.folder import ENDED, LOCK_FORMAT, RunFolder, open_run
from rsmtdf_core.runs.history import Validation, ranked
from rsmtdf_core.scenes.manifest import Manifest, load_manifest
from rsmtdf_core.views.records import PIXELS

UNKNOWN = "unknown"
KILLED = "killed"
_STATUSES = ("running", "interrupted", *ENDED)


@dataclass(frozen=True)
class RunRecord:
    """The contents of a run's folder without its models.

    Attributes:
        folder: the run's folder.
        config: the resolved config.
        manifest: the dataset's manifest at the start of the run.
        facts: the contents of run.json.
        lines: the lines of metrics.jsonl, of training steps and of validations (`split` is val).
        lock: the views and stores that the run reads; None if it reads none or has not started.
        killed: whether the process of the training was killed.
    """

    folder: RunFolder
    config: ExperimentConfig
    manifest: Manifest
    facts: dict[str, Any]
    lines: tuple[dict[str, Any], ...]
    lock: dict[str, Any] | None
    killed: bool = False

    @property
    def status(self) -> str:
        """The status in run.json; `killed`, or `unknown` for runs of earlier versions without one."""
        if self.killed:
            return KILLED
        status = self.facts.get("status")
        return status if status in _STATUSES else UNKNOWN

    @property
    def ended(self) -> bool:
        """Whether the training is complete."""
        return self.status in ENDED

    @property
    def steps(self) -> int:
        """Number of trained steps. For a running or killed training, the last logged step."""
        if self.facts.get("status") != "running" and isinstance(self.facts.get("steps"), int):
            return int(self.facts["steps"])
        return max((line["step"] + 1 for line in self.lines), default=0)

    @property
    def total(self) -> int | None:
        """Number of steps of the whole training; None if a run of an earlier version did not record it."""
        total = self.facts.get("total")
        if isinstance(total, int):
            return total
        return self.steps if self.status == "finished" else None

    @property
    def distils(self) -> bool:
        """Whether the method distils from teachers."""
        return self.config.teacher_source != "none"

    @property
    def random_teachers(self) -> tuple[str, ...]:
        """Teachers of this run with random weights. If there are any, the scores do not reflect the method."""
        if not self.distils:
            return ()
        stores = (self.lock or {}).get("stores")
        if self.config.teacher_source == "cached" and stores:
            digests = {name: store["identity"]["weights_sha256"] for name, store in stores.items()}
            return tuple(name for name, sha in digests.items() if str(sha).startswith("random:"))
        return tuple(
            teacher.name for teacher in self.config.distilled if teacher.weights == "random"
        )

    @property
    def pixels(self) -> str | None:
        """`<group>/<store>` of the cached views that the run reads; None if it reads none."""
        key = (self.lock or {}).get(PIXELS)
        return None if key is None else str(key)

    @cached_property
    def validations(self) -> tuple[Validation, ...]:
        """All validations, in the order of their steps."""
        return tuple(self.folder.validations)

    @property
    def best(self) -> Validation | None:
        """The best validation; None before the first validation."""
        return next(iter(ranked(self.validations)), None)

    @property
    def written(self) -> float:
        """Time of the last update of the run's files, seconds since 1970."""
        files = (self.folder.marker, self.folder.metrics)
        return max(file.stat().st_mtime for file in files if file.exists())


def read_run(path: Path) -> RunRecord:
    """Read the run in the folder `path`.

    Raises:
        RsmtdfError: If there is no run, or one of its files is damaged.
    """
    folder = open_run(path)
    config = load_config(str(folder.config))
    killed = folder.was_killed
    return RunRecord(
        folder=folder,
        config=config,
        manifest=load_manifest(str(folder.manifest)),
        facts=folder.facts,
        lines=_lines(folder),
        lock=_lock(folder, config),
        killed=killed,
    )


def _lines(folder: RunFolder) -> tuple[dict[str, Any], ...]:
    """Read the lines of metrics.

    Raises:
        RunError: If a line is damaged.
    """
    lines = folder.read_metrics()
    invalid = next((number for number, line in enumerate(lines, 1) if not _is_valid(line)), None)
    if invalid is not None:
        raise RunError(
            f"line {invalid} is not a valid line of metrics",
            where=folder.metrics,
            remedy=f"restore the file or delete that line, then {_resume(folder)}",
        )
    return tuple(lines)


def _is_valid(line: object) -> bool:
    if not isinstance(line, dict) or type(line.get("step")) is not int:
        return False
    if line.get("split") != "val":
        return True
    classes = line.get("iou")
    return (
        type(line.get("epoch")) is int
        and isinstance(line.get("miou"), float)
        and isinstance(classes, dict)
        and all(iou is None or isinstance(iou, float) for iou in classes.values())
    )


def _resume(folder: RunFolder) -> str:
    """Return the command that resumes a run. For a complete run, it only tidies the folder."""
    return f"rsmtdf train CONFIG --run {shlex.quote(str(folder.path))} --resume"


def _lock(folder: RunFolder, config: ExperimentConfig) -> dict[str, Any] | None:
    """Read the run's cache.lock.json and check its seal."""
    path = folder.path / "cache.lock.json"
    if not path.exists():
        return None
    again = f"write it again: {_resume(folder)}"
    try:
        lock = LOCK_FORMAT.unsealed(read_json(path, RunError), path)
    except (RunError, StoreDamagedError) as damage:
        raise RunError(damage.what, where=path, remedy=again) from None
    cached = config.teacher_source == "cached"
    names = {teacher.name for teacher in config.distilled}
    if cached and not _names_stores(lock, names):
        message = "the file does not name the stores that the run read"
        raise RunError(message, where=path, remedy=again)
    return lock


def _names_stores(lock: dict[str, Any], names: set[str]) -> bool:
    stores = lock.get("stores")
    if not isinstance(stores, dict) or set(stores) != names:
        return False
    return all(
        isinstance(store, dict)
        and isinstance(store.get("store"), str)
        and isinstance(store.get("codec"), dict)
        and isinstance(store.get("identity"), dict)
        and "weights_sha256" in store["identity"]
        for store in stores.values()
    )
