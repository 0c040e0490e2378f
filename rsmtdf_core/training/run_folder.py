"""A run on disk: its config, metrics, checkpoints, and the features it read.

<runs>/<name>/
  config.yaml          resolved
  metrics.jsonl        one line per logged step and per validation
  cache.lock.json      the views and stores that it reads
  checkpoints/step-*   the latest, and best/step-* the best by the chosen model
  tensorboard/
  evaluation/<split>/  scores and pictures
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsmtdf_core.errors import RunError
from rsmtdf_core.files import atomic_file, write_json


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved config."""
        return self.path / "config.yaml"

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
        """The folder of the best checkpoint."""
        return self.path / "best"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files."""
        return self.path / "tensorboard"

    def prepare(self, config: str, *, resume: bool, overwrite: bool) -> None:
        """Make the folder for a new run, or check that it is the run to resume.

        Raises:
            RunError: where a run is there and neither was asked for, or the config to resume has changed.
        """
        if overwrite and self.config.is_file():
            shutil.rmtree(self.path)
        if not self.config.is_file():
            if resume:
                raise RunError(
                    "there is no run to resume", where=self.path, remedy="leave out --resume"
                )
            self.path.mkdir(parents=True, exist_ok=True)
            with atomic_file(self.config) as file:
                file.write(config.encode())
        elif not resume:
            raise RunError(
                "a run is there already",
                where=self.path,
                remedy="go on with --resume, start anew with --overwrite, or name another with --run",
            )
        elif self.config.read_text() != config:
            raise RunError(
                "the config differs from that of the run to resume: " + self._first_change(config),
                where=self.config,
                remedy="undo the change, or start a new run with --run",
            )

    def _first_change(self, config: str) -> str:
        pairs = zip(self.config.read_text().splitlines(), config.splitlines(), strict=False)
        return next(
            (f"{was.strip()!r} is now {now.strip()!r}" for was, now in pairs if was != now), ""
        )

    def log(self, record: dict[str, Any]) -> None:
        """Append one line of metrics."""
        with self.metrics.open("a") as file:
            file.write(json.dumps(record, allow_nan=True) + "\n")

    def read_metrics(self) -> list[dict[str, Any]]:
        """All lines of metrics; a torn last line, left by a killed process, is dropped."""
        if not self.metrics.is_file():
            return []
        records = []
        for line in self.metrics.read_text().splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:
                break
        return records

    def forget_after(self, step: int) -> None:
        """Drop the metrics of steps from `step` on: they are computed again."""
        kept = [record for record in self.read_metrics() if record["step"] < step]
        with atomic_file(self.metrics) as file:
            file.write("".join(json.dumps(record) + "\n" for record in kept).encode())

    def lock(self, features: dict[str, Any]) -> None:
        """Name the views and stores that this run reads."""
        write_json(self.path / "cache.lock.json", features)


def open_run(path: Path) -> RunFolder:
    """The run in `path`.

    Raises:
        RunError: where there is none.
    """
    run = RunFolder(path)
    if not run.config.is_file():
        raise RunError("there is no run here", where=path, remedy="run `rsmtdf train CONFIG` first")
    return run
