"""One run as its folder tells of it, checked, so that what reads it further meets no surprise."""

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

UNKNOWN = "unknown"
_STATUSES = ("running", "interrupted", *ENDED)


@dataclass(frozen=True)
class RunRecord:
    """What a run's folder holds beside its models.

    Attributes:
        folder: the run on disk.
        config: its resolved config.
        manifest: the dataset's manifest, as it was when the run began.
        facts: what run.json tells.
        lines: the lines of metrics.jsonl: of training steps, and of validations (`split` is val).
        lock: the views and stores that it reads; None where it reads none, or has not begun.
    """

    folder: RunFolder
    config: ExperimentConfig
    manifest: Manifest
    facts: dict[str, Any]
    lines: tuple[dict[str, Any], ...]
    lock: dict[str, Any] | None

    @property
    def status(self) -> str:
        """What run.json says; unknown for runs made before it said so."""
        status = self.facts.get("status")
        return status if status in _STATUSES else UNKNOWN

    @property
    def ended(self) -> bool:
        """Whether the training came to its end."""
        return self.status in ENDED

    @property
    def steps(self) -> int:
        """Steps trained, as far as the folder tells: a running training logs only some of them."""
        if self.status != "running" and isinstance(self.facts.get("steps"), int):
            return int(self.facts["steps"])
        return max((line["step"] + 1 for line in self.lines), default=0)

    @property
    def total(self) -> int | None:
        """Steps of the whole training; None where an older run did not write them down."""
        total = self.facts.get("total")
        if isinstance(total, int):
            return total
        return self.steps if self.status == "finished" else None

    @property
    def distils(self) -> bool:
        """Whether the method learns from teachers."""
        return self.config.teacher_source != "none"

    @property
    def random_teachers(self) -> tuple[str, ...]:
        """Teachers of this run that were never trained: its scores say nothing about the method."""
        if not self.distils:
            return ()
        stores = (self.lock or {}).get("stores")
        if self.config.teacher_source == "cached" and stores:
            weights = {name: one["identity"]["weights_sha256"] for name, one in stores.items()}
            return tuple(name for name, one in weights.items() if str(one).startswith("random:"))
        return tuple(one.name for one in self.config.distilled if one.weights == "random")

    @cached_property
    def validations(self) -> tuple[Validation, ...]:
        """In the order of their steps."""
        return tuple(self.folder.validations)

    @property
    def best(self) -> Validation | None:
        """The best validation; None before the first."""
        return next(iter(ranked(self.validations)), None)

    @property
    def written(self) -> float:
        """When the run last told of itself, seconds since 1970."""
        files = (self.folder.marker, self.folder.metrics)
        return max(file.stat().st_mtime for file in files if file.exists())


def read_run(path: Path) -> RunRecord:
    """The run in the folder `path`.

    Raises:
        RsmtdfError: where there is no run, or one of its files is damaged.
    """
    folder = open_run(path)
    config = load_config(str(folder.config))
    return RunRecord(
        folder=folder,
        config=config,
        manifest=load_manifest(str(folder.manifest)),
        facts=folder.facts,
        lines=_lines(folder),
        lock=_lock(folder, config),
    )


def _lines(folder: RunFolder) -> tuple[dict[str, Any], ...]:
    """The lines of metrics, of which none may be damaged."""
    lines = folder.read_metrics()
    wrong = next((number for number, line in enumerate(lines, 1) if not _is_whole(line)), None)
    if wrong is not None:
        raise RunError(
            f"line {wrong} is not as a training writes it",
            where=folder.metrics,
            remedy=f"restore the file; or delete that line; then {_resume(folder)}",
        )
    return tuple(lines)


def _is_whole(line: object) -> bool:
    if not isinstance(line, dict) or type(line.get("step")) is not int:
        return False
    if line.get("split") != "val":
        return True
    classes = line.get("iou")
    return (
        type(line.get("epoch")) is int
        and isinstance(line.get("miou"), float)
        and isinstance(classes, dict)
        and all(one is None or isinstance(one, float) for one in classes.values())
    )


def _resume(folder: RunFolder) -> str:
    """The command that goes on with a run; where it has ended, it only tidies the folder."""
    return f"rsmtdf train CONFIG --run {shlex.quote(str(folder.path))} --resume"


def _lock(folder: RunFolder, config: ExperimentConfig) -> dict[str, Any] | None:
    """The run's cache.lock.json, unsealed."""
    path = folder.path / "cache.lock.json"
    if not path.exists():
        return None
    again = f"write it again: {_resume(folder)}"
    try:
        lock = LOCK_FORMAT.unsealed(read_json(path, RunError), path)
    except (RunError, StoreDamagedError) as damage:
        raise RunError(damage.what, where=path, remedy=again) from None
    cached = config.teacher_source == "cached"
    names = {one.name for one in config.distilled}
    if cached and not _names_stores(lock, names):
        what = "the file does not name the stores that the run read"
        raise RunError(what, where=path, remedy=again)
    return lock


def _names_stores(lock: dict[str, Any], names: set[str]) -> bool:
    stores = lock.get("stores")
    if not isinstance(stores, dict) or set(stores) != names:
        return False
    return all(
        isinstance(one, dict)
        and isinstance(one.get("store"), str)
        and isinstance(one.get("codec"), dict)
        and isinstance(one.get("identity"), dict)
        and "weights_sha256" in one["identity"]
        for one in stores.values()
    )
