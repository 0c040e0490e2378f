"""A run on disk: its config, metrics, checkpoints, and the features it read.

<runs>/<name>/
  run.json             marks the folder as a run, which --overwrite may delete; written first. Its status is
                       running, interrupted, finished or stopped early; a killed run stays running. It names the
                       best checkpoints and keeps the validations
  .lock                held by the process that trains
  config.yaml          resolved
  manifest.yaml        of the dataset
  metrics.jsonl        one line per logged step and per validation
  cache.lock.json      the views and stores that it reads
  checkpoints/step-*   the latest
  best/step-*          the best by the chosen model; before the first validation the newest
  profile/             traces of --profile
  tensorboard/
  evaluation/          <split>-<weights>/report.json, with tables and pictures beside it

Each of these files that a result depends on carries a checksum of its content (`seals`), and run.json has the
fingerprint of each best checkpoint.
"""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rsmtdf_core.errors import RunError
from rsmtdf_core.files import read_json, sync_file, write_json
from rsmtdf_core.formats import FileFormat
from rsmtdf_core.refusals import writing
from rsmtdf_core.roles import ConfigSettings
from rsmtdf_core.runs.history import Validation, validations
from rsmtdf_core.runs.metrics import Metrics, append_metrics, read_metrics, write_metrics
from rsmtdf_core.runs.resuming import GlobalBatch, changed_settings
from rsmtdf_core.runs.seals import (
    is_whole_text,
    promised_text,
    read_sealed_json,
    sealed_text,
    write_sealed_json,
    write_sealed_text,
)
from rsmtdf_core.settings import Settings
from rsmtdf_core.store.locks import LOCK, is_locked
from rsmtdf_core.validation import dump_yaml

FORMAT = FileFormat("run")
LOCK_FORMAT = FileFormat("list of the stores that a run reads")

Status = Literal["running", "interrupted", "finished", "stopped early"]
ENDED: tuple[Status, ...] = ("finished", "stopped early")
UNFINISHED: tuple[Status, ...] = ("running", "interrupted")
# What run.json held before it had a fingerprint.
_EARLIER = ("format", "status", "total", "steps", "initial", "trackers")
_LEFTOVER = re.compile(r".+\.tmp-[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    @property
    def marker(self) -> Path:
        """What tells a run from any other folder."""
        return self.path / "run.json"

    @property
    def config(self) -> Path:
        """The resolved config."""
        return self.path / "config.yaml"

    @property
    def manifest(self) -> Path:
        """The dataset's manifest."""
        return self.path / "manifest.yaml"

    @property
    def metrics(self) -> Path:
        """The metrics, one JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The folder of the latest checkpoints."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """The folder of the best checkpoints."""
        return self.path / "best"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files."""
        return self.path / "tensorboard"

    @property
    def profile(self) -> Path:
        """Traces of steps."""
        return self.path / "profile"

    def report(self, split: str, weights: str) -> Path:
        """Where the scores of one of the run's two models on a split are; tables and pictures lie beside."""
        return self.path / "evaluation" / f"{split}-{weights}" / "report.json"

    @property
    def facts(self) -> dict[str, Any]:
        """What run.json tells.

        Always `format`; where they apply `status`, `total` steps, `steps` done, `initial`, `trackers`,
        `batch` of a step, `lines` of metrics.jsonl, `validations`, and `best`: step and fingerprint of the best
        checkpoints.

        Raises:
            RunError: where the file is missing or damaged.
        """
        try:
            return read_sealed_json(self.marker, _EARLIER)
        except RunError as error:
            raise RunError(error.what, where=self.marker, remedy=self.without_facts) from None

    @property
    def without_facts(self) -> str:
        """The remedy where run.json is missing or damaged."""
        return (
            "restore the file; else go on without what it told, the best checkpoint being chosen by metrics.jsonl: "
            f"echo '{{\"format\": {FORMAT.number}}}' > {self.marker}"
        )

    def note(self, **facts: object) -> None:
        """Change some of what run.json tells."""
        write_sealed_json(self.marker, self.facts | facts)

    @property
    def is_live(self) -> bool:
        """Whether a process is training it."""
        return is_locked(self.path)

    def sweep(self) -> None:
        """Delete files that killed processes left half written; only who holds the run may."""
        for path in self.path.iterdir():
            if _LEFTOVER.fullmatch(path.name) and path.is_file():
                path.unlink()

    def prepare(
        self,
        config: ConfigSettings,
        manifest: Settings,
        *,
        resume: bool,
        overwrite: bool,
        initial: Mapping[str, str] | None = None,
        batch: GlobalBatch | None = None,
    ) -> None:
        """Make the folder for a new run, or check that it is the run to resume, and bring that up to date.

        Args:
            config: the experiment's. A resumed run may change its `runtime`, but not the
                `runtime.precision`, and its `evaluation.inference.batch`, and keeps the new ones. Its
                `optimiser.batch` may change with the number of processes.
            manifest: the dataset's. A resumed run may change its `title`, `notes` and `protocols`.
            resume: whether a run is to be there.
            overwrite: whether a run that is there is deleted.
            initial: which weights a new run starts from, for run.json.
            batch: of a step; a resumed run keeps its total.

        Raises:
            RunError: as `require_startable` says, or where the run to resume is another one.
            ConfigError: where the config or the manifest of the run to resume is damaged.
        """
        self.require_startable(resume=resume, overwrite=overwrite)
        if self.path.is_dir():
            self.sweep()
        if self.marker.is_file():
            if overwrite:
                self._delete()
            else:
                self._restore_settings(config, manifest)
                self._require_same(config, manifest, batch)
        is_new = not self.marker.is_file()
        try:
            if is_new:
                started: dict[str, Any] = {} if initial is None else {"initial": dict(initial)}
                if batch is not None:
                    started["batch"] = asdict(batch)
                write_sealed_json(self.marker, FORMAT.stamped({"status": "running", **started}))
            for path, settings in ((self.config, config), (self.manifest, manifest)):
                write_sealed_text(path, dump_yaml(settings))
        except OSError:
            if is_new:  # the same command starts it once there is room
                for path in (self.config, self.manifest, self.marker):
                    path.unlink(missing_ok=True)
            raise

    def require_startable(self, *, resume: bool, overwrite: bool) -> None:
        """Refuse a folder that no training may start in; nothing is written.

        Raises:
            RunError: where a run is there and is neither resumed nor overwritten, where there is none to resume,
                or where the folder holds something else than a run.
        """
        if self.marker.is_file():
            if not (resume or overwrite):
                raise RunError(
                    "the folder already holds a run",
                    where=self.path,
                    remedy="continue it with --resume, replace it with --overwrite, or name another folder with --run",
                )
        elif self.path.is_dir() and (self.checkpoints.is_dir() or self.best.is_dir()):
            open_run(self.path)
        elif self.path.is_dir() and not all(
            self._is_marker_to_be(one) for one in self.path.iterdir()
        ):
            raise RunError(
                "the folder holds files, and they are not a run's",
                where=self.path,
                remedy="name another folder with --run",
            )
        elif resume:
            raise RunError(
                "there is no run to resume", where=self.path, remedy="leave out --resume"
            )

    def _is_marker_to_be(self, path: Path) -> bool:
        """Whether this is all that a process left that was killed before there was a run."""
        return path.name == LOCK or path.name.startswith(f"{self.marker.name}.tmp-")

    def _delete(self) -> None:
        # The marker last: a kill must not leave a folder that --overwrite does not know as a run.
        for path in self.path.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path not in (self.marker, self.path / LOCK):
                path.unlink()
        self.marker.unlink()

    def _restore_settings(self, config: ConfigSettings, manifest: Settings) -> None:
        """Write a damaged config or manifest again where the given settings have the checksum of the old ones.

        A missing one is written as well if the run was killed before its first checkpoint.
        """
        is_untrained = not (self.checkpoints.is_dir() or self.best.is_dir())
        for path, settings in ((self.config, config), (self.manifest, manifest)):
            if is_untrained and not os.path.lexists(path):
                write_sealed_text(path, dump_yaml(settings))
            promise, content = promised_text(path), sealed_text(dump_yaml(settings))
            if promise and content.startswith(promise) and not is_whole_text(path):
                write_sealed_text(path, dump_yaml(settings))

    def _require_same(
        self, config: ConfigSettings, manifest: Settings, batch: GlobalBatch | None
    ) -> None:
        open_run(self.path)
        noted = self.facts.get("batch")
        started = None if noted is None else GlobalBatch(**noted)
        ignored = "" if started is None or batch is None else "optimiser.batch:"
        changes = changed_settings(self.config, config, self.manifest, manifest)
        if changes := [
            change for change in changes if not ignored or not change.startswith(ignored)
        ]:
            raise RunError(
                f"the config differs from that of the run to resume: {'; '.join(changes)}",
                where=self.config,
                remedy="undo the change, or start a new run with --run",
            )
        if started and batch:
            started.require_same_total(batch, self.path)

    def log(self, record: dict[str, Any]) -> None:
        """Append one line of metrics."""
        append_metrics(self.metrics, record)

    def metrics_lines(self) -> Metrics:
        """All lines of metrics that are whole, and which are not."""
        return read_metrics(self.metrics, self.facts.get("lines", 0))

    def read_metrics(self) -> list[dict[str, Any]]:
        """All lines of metrics; a torn last line, left by a killed process, is dropped.

        Raises:
            RunError: where any other line is damaged or missing.
        """
        metrics = self.metrics_lines()
        metrics.require_whole()
        return list(metrics.records)

    def sync_metrics(self) -> None:
        """Make the lines survive a power cut, as a checkpoint does that is saved after them."""
        if self.metrics.is_file():
            with writing(self.metrics):
                sync_file(self.metrics)

    def note_lines(self, **facts: object) -> None:
        """Note how many lines of metrics there are by now, with other facts."""
        lines = self.metrics.read_bytes().count(b"\n") if self.metrics.is_file() else 0
        self.note(lines=lines, **facts)

    @property
    def validations(self) -> list[Validation]:
        """Every validation, from run.json and from the lines that it does not know of yet.

        Raises:
            RunError: where they come from damaged metrics alone.
        """
        metrics, noted = self.metrics_lines(), self.facts.get("validations")
        if noted is None:
            metrics.require_whole()
        known = [Validation(**one) for one in noted or ()]
        steps = {one.steps for one in known}
        more = [one for one in validations(metrics.records) if one.steps not in steps]
        return sorted([*known, *more], key=lambda one: one.steps)

    def note_best(self, best: Mapping[int, str], found: Sequence[Validation]) -> None:
        """Note which checkpoints are best, by step with their fingerprints, and all validations."""
        self.note_lines(
            best=[{"step": step, "checkpoint": name} for step, name in best.items()],
            validations=[asdict(one) for one in found],
        )

    def forget_after(self, step: int) -> None:
        """Drop the metrics and validations of steps from `step` on, which are computed again, and damaged lines."""
        metrics = self.metrics_lines()
        kept = [record for record in metrics.records if record["step"] < step]
        found = [one for one in self.validations if one.steps <= step]
        # Before the lines: after a kill in between there are more of them than noted, and never fewer.
        self.note(lines=len(kept), validations=[asdict(one) for one in found])
        if metrics.damage and os.path.lexists(self.metrics):
            self.metrics.replace(self.metrics.with_name(f"damaged-{self.metrics.name}"))
        write_metrics(self.metrics, kept)

    def lock(self, features: dict[str, Any]) -> None:
        """Name the views and stores that this run reads."""
        write_json(self.path / "cache.lock.json", LOCK_FORMAT.sealed(features))


def _no_run(path: Path) -> RunError:
    """The error for a folder without a run; a folder of runs is a common slip, so the error names a run in it."""
    runs = sorted(path.glob("*/run.json"))
    if runs:
        return RunError(
            "this folder holds runs and is none itself",
            where=path,
            remedy=f"name a run, such as {runs[0].parent}; `rsmtdf runs {path}` lists them",
        )
    return RunError("there is no run here", where=path, remedy="run `rsmtdf train CONFIG` first")


def open_run(path: Path) -> RunFolder:
    """The run in `path`.

    Raises:
        RunError: where there is none, or not a whole one.
    """
    run = RunFolder(path)
    if not run.marker.is_file():
        if run.checkpoints.is_dir() or run.best.is_dir():
            raise RunError(
                "the file is missing or no regular file", where=run.marker, remedy=run.without_facts
            )
        raise _no_run(path)
    try:
        found = read_json(run.marker, RunError)
    except RunError as error:
        raise RunError(error.what, where=run.marker, remedy=run.without_facts) from None
    FORMAT.current(found, run.marker, RunError)
    assert run.facts
    for file in (run.config, run.manifest):
        if not file.is_file():
            what = "the file is missing or no regular file"
        elif not is_whole_text(file):
            what = "the file is damaged: it was changed after it was written"
        else:
            continue
        raise RunError(
            what,
            where=file,
            remedy="restore it: put a copy of what the run was trained with there, or go on with that: "
            f"rsmtdf train CONFIG --run {path} --resume",
        )
    return run
