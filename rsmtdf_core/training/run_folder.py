"""A run on disk: its config, metrics, checkpoints, and the features it read.

<runs>/<name>/
  run.json             marks the folder as a run, which --overwrite may delete; written first
  config.yaml          resolved
  manifest.yaml        of the dataset
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

import yaml

from rsmtdf_core.errors import RunError
from rsmtdf_core.files import atomic_file, read_json, write_json
from rsmtdf_core.fingerprints import differences
from rsmtdf_core.store.metadata import sealed

FORMAT = 1


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
        """The folder of the best checkpoint."""
        return self.path / "best"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files."""
        return self.path / "tensorboard"

    def prepare(self, config: str, manifest: str, *, resume: bool, overwrite: bool) -> None:
        """Make the folder for a new run, or check that it is the run to resume.

        Args:
            config: the resolved config as YAML. A resumed run may change its `runtime`, but not the
                `runtime.precision`, and keeps the new one.
            manifest: the dataset's manifest as YAML.
            resume: whether a run is to be there.
            overwrite: whether a run that is there is deleted.

        Raises:
            RunError: where a run is there and neither was asked for, where the folder holds something
                else than a run, or where the run to resume is another one.
        """
        if self.marker.is_file():
            if overwrite:
                shutil.rmtree(self.path)
            elif not resume:
                raise RunError(
                    "a run is there already",
                    where=self.path,
                    remedy="go on with --resume, start anew with --overwrite, or name another with --run",
                )
            else:
                self._require_same(config, manifest)
        elif self.path.is_dir() and any(self.path.iterdir()):
            raise RunError(
                "the folder holds files, and they are not a run's",
                where=self.path,
                remedy="name another folder with --run",
            )
        elif resume:
            raise RunError(
                "there is no run to resume", where=self.path, remedy="leave out --resume"
            )
        write_json(self.marker, {"format": FORMAT})
        for path, text in ((self.config, config), (self.manifest, manifest)):
            with atomic_file(path) as file:
                file.write(text.encode())

    def _require_same(self, config: str, manifest: str) -> None:
        open_run(self.path)
        changes = [
            *differences(_deciding(_parsed(self.config.read_text())), _deciding(_parsed(config))),
            *differences(_parsed(self.manifest.read_text()), _parsed(manifest), "manifest"),
        ]
        if changes:
            raise RunError(
                f"the config differs from that of the run to resume: {changes[0]}",
                where=self.config,
                remedy="undo the change, or start a new run with --run",
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
        write_json(self.path / "cache.lock.json", sealed({"format": FORMAT, **features}))


def _parsed(text: str) -> dict[str, Any]:
    return dict(yaml.safe_load(text))


def _deciding(config: dict[str, Any]) -> dict[str, Any]:
    """What decides what a run computes: everything but where and how fast."""
    return {**config, "runtime": {"precision": config["runtime"]["precision"]}}


def open_run(path: Path) -> RunFolder:
    """The run in `path`.

    Raises:
        RunError: where there is none, or not a whole one.
    """
    run = RunFolder(path)
    if not run.marker.is_file():
        raise RunError("there is no run here", where=path, remedy="run `rsmtdf train CONFIG` first")
    found = read_json(run.marker, RunError).get("format")
    if found != FORMAT:
        raise RunError(f"run format {found} is not {FORMAT}", where=run.marker)
    for file in (run.config, run.manifest):
        if not file.is_file():
            raise RunError("the file is missing", where=file, remedy="start anew with --overwrite")
    return run
