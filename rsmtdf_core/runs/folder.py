"""A run on disk: its config, metrics, checkpoints, and the features it read.

<runs>/<name>/
  run.json             marks the folder as a run, which --overwrite may delete; written first. Its status is
                       running, interrupted, finished or stopped early; that of a killed run stays running, with
                       a free lock. It lists the best checkpoints and the validations
  .lock                held by the process that trains
  config.yaml          resolved config
  manifest.yaml        manifest of the dataset
  splits.yaml          manifest whose training scenes an imported model was trained on, if they are known; also in
                       runs that began from it
  metrics.jsonl        one line per logged step and per validation
  cache.lock.json      the views and stores that the run reads
  checkpoints/step-*   the latest checkpoints
  best/step-*          the best checkpoints by the selected model; before the first validation the newest
  profile/             traces of --profile
  tensorboard/
  evaluation/          <split>-<weights>/report.json, with its tables and pictures
  calibration.json     the temperature of one model
  suggestions/         scenes to label next, of `rsmtdf suggest CONFIG --out RUN/suggestions`

Files that determine a result carry a checksum of their content (`seals`), and run.json has the fingerprint of each best
checkpoint.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rsmtdf_core.errors import RunError
from rsmtdf_core.files import read_json, sync_file, write_json
from rsmtdf_core.formats import FileFormat
from rsmtdf_core.refusals import writing
from rsmtdf_core.runs.history import Validation, validations
from rsmtdf_core.runs.metrics import Metrics, append_metrics, read_metrics, write_metrics
from rsmtdf_core.runs.seals import (
    is_whole_text,
    read_sealed_json,
    write_sealed_json,
)
from rsmtdf_core.store.locks import is_locked

FORMAT = FileFormat("run")
LOCK_FORMAT = FileFormat("list of the stores that a run reads")

Status = Literal["running", "interrupted", "finished", "stopped early"]
ENDED: tuple[Status, ...] = ("finished", "stopped early")
UNFINISHED: tuple[Status, ...] = ("running", "interrupted")
# The keys of run.json in versions without a fingerprint.
_EARLIER = ("format", "status", "total", "steps", "initial", "trackers")
_LEFTOVER = re.compile(r".+\.tmp-[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    @property
    def marker(self) -> Path:
        """The file that marks the folder as a run."""
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
    def splits(self) -> Path:
        """The manifest whose training scenes the model of `origin` was trained on; missing if they are unknown."""
        return self.path / "splits.yaml"

    @property
    def imported(self) -> bool:
        """Whether another program trained the model: the run is finished without a step."""
        facts = self.facts
        return facts.get("status") == "finished" and facts.get("steps") == 0

    @property
    def origin(self) -> str | None:
        """The file of another program that the model is or that its training began from, also through other runs.

        None for a training that began from no such file.
        """
        initial = self.facts.get("initial")
        if not initial:
            return None
        # The weights of a checkpoint have the name of their model.
        known = initial.get("origin") or (None if "weights" in initial else initial["path"])
        return None if known is None else str(known)

    @property
    def metrics(self) -> Path:
        """The metrics, one JSON object per line."""
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
        """The folder of step traces."""
        return self.path / "profile"

    @property
    def suggestions(self) -> Path:
        """The folder of the scenes to label next."""
        return self.path / "suggestions"

    def report(self, split: str, weights: str) -> Path:
        """Return the path of the report of a model (`ema` or `student`) on a split."""
        return self.path / "evaluation" / f"{split}-{weights}" / "report.json"

    @property
    def facts(self) -> dict[str, Any]:
        """The content of run.json.

        Always has `format`. May have `status`, `total` steps, `steps` done, `initial`, `trackers`, `batch` of a step,
        `lines` of metrics.jsonl, `validations`, and `best`: step and fingerprint of the best checkpoints.

        Raises:
            RunError: If the file is missing or damaged.
        """
        try:
            return read_sealed_json(self.marker, _EARLIER)
        except RunError as error:
            raise RunError(error.what, where=self.marker, remedy=self.without_facts) from None

    @property
    def without_facts(self) -> str:
        """The remedy for a missing or damaged run.json."""
        return (
            "restore the file, or continue without its content, with the best checkpoint chosen by metrics.jsonl: "
            f"echo '{{\"format\": {FORMAT.number}}}' > {self.marker}"
        )

    def note(self, **facts: object) -> None:
        """Update run.json with these facts."""
        write_sealed_json(self.marker, self.facts | facts)

    @property
    def is_live(self) -> bool:
        """Whether a process is training the run."""
        return is_locked(self.path)

    @property
    def was_killed(self) -> bool:
        """Whether a training ended without updating run.json, because its process was killed.

        False on file systems without locks, where a killed training looks like a live one.
        """
        if self.facts.get("status") != "running":
            return False
        try:
            live = self.is_live
        except OSError:
            return False
        # Read again, because the training may have ended just before the check of its lock.
        return not live and self.facts.get("status") == "running"

    def sweep(self) -> None:
        """Delete partial files of killed processes; requires the run's lock."""
        for path in self.path.iterdir():
            if _LEFTOVER.fullmatch(path.name) and path.is_file():
                path.unlink()

    def log(self, record: dict[str, Any]) -> None:
        """Append one line of metrics."""
        append_metrics(self.metrics, record)

    def metrics_lines(self) -> Metrics:
        """Read the intact lines of metrics, and the damage."""
        return read_metrics(self.metrics, self.facts.get("lines", 0))

    def read_metrics(self) -> list[dict[str, Any]]:
        """Read all lines of metrics, without a partial last line of a killed process.

        Raises:
            RunError: If any other line is damaged or missing.
        """
        metrics = self.metrics_lines()
        metrics.require_whole()
        return list(metrics.records)

    def sync_metrics(self) -> None:
        """Flush the metrics to disk, so that a power cut cannot lose lines before a checkpoint."""
        if self.metrics.is_file():
            with writing(self.metrics):
                sync_file(self.metrics)

    def note_lines(self, **facts: object) -> None:
        """Record the current number of metrics lines in run.json, with other facts."""
        lines = self.metrics.read_bytes().count(b"\n") if self.metrics.is_file() else 0
        self.note(lines=lines, **facts)

    @property
    def validations(self) -> list[Validation]:
        """All validations, from run.json and from later lines of metrics.

        Raises:
            RunError: If run.json has none and the metrics are damaged.
        """
        metrics, noted = self.metrics_lines(), self.facts.get("validations")
        if noted is None:
            metrics.require_whole()
        earlier = [Validation(**fields) for fields in noted or ()]
        steps = {validation.steps for validation in earlier}
        later = [
            validation
            for validation in validations(metrics.records)
            if validation.steps not in steps
        ]
        return sorted([*earlier, *later], key=lambda validation: validation.steps)

    def note_best(self, best: Mapping[int, str], history: Sequence[Validation]) -> None:
        """Record the best checkpoints, as fingerprints by step, and all validations in run.json."""
        self.note_lines(
            best=[{"step": step, "checkpoint": name} for step, name in best.items()],
            validations=[asdict(validation) for validation in history],
        )

    def forget_after(self, step: int) -> None:
        """Drop damaged lines, and the metrics and validations from step `step` on, which will be recomputed."""
        metrics = self.metrics_lines()
        kept = [record for record in metrics.records if record["step"] < step]
        history = [validation for validation in self.validations if validation.steps <= step]
        # Before the lines: after a kill in between, the file may have more lines than recorded, never fewer.
        self.note(lines=len(kept), validations=[asdict(validation) for validation in history])
        if metrics.damage and os.path.lexists(self.metrics):
            self.metrics.replace(self.metrics.with_name(f"damaged-{self.metrics.name}"))
        write_metrics(self.metrics, kept)

    def lock(self, features: dict[str, Any]) -> None:
        """Write the views and stores that this run reads to cache.lock.json."""
        write_json(self.path / "cache.lock.json", LOCK_FORMAT.sealed(features))


def _no_run(path: Path) -> RunError:
    """Return the error for a folder without a run; for a folder of runs, a common mistake, it names a run."""
    runs = sorted(path.glob("*/run.json"))
    if runs:
        return RunError(
            "this folder contains runs but is not a run",
            where=path,
            remedy=f"pass a run, such as {runs[0].parent}; `rsmtdf runs {path}` lists them",
        )
    return RunError("there is no run here", where=path, remedy="run `rsmtdf train CONFIG` first")


def open_run(path: Path) -> RunFolder:
    """Open the run in `path`.

    Raises:
        RunError: If there is no run, or it is damaged.
    """
    run = RunFolder(path)
    if not run.marker.is_file():
        if run.checkpoints.is_dir() or run.best.is_dir():
            raise RunError(
                "the file is missing or not a regular file",
                where=run.marker,
                remedy=run.without_facts,
            )
        raise _no_run(path)
    try:
        facts = read_json(run.marker, RunError)
    except RunError as error:
        raise RunError(error.what, where=run.marker, remedy=run.without_facts) from None
    FORMAT.current(facts, run.marker, RunError)
    assert run.facts
    for file in (run.config, run.manifest):
        if not file.is_file():
            problem = "the file is missing or not a regular file"
        elif not is_whole_text(file):
            problem = "the file is damaged: it was changed after it was written"
        else:
            continue
        raise RunError(
            problem,
            where=file,
            remedy="restore the file from a copy, or continue with the config that the run was started with: "
            f"rsmtdf train CONFIG --run {path} --resume",
        )
    return run
