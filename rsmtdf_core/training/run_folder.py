"""A run on disk: its config, metrics, checkpoints, and the features it read.

<runs>/<name>/
  run.json             marks the folder as a run, which --overwrite may delete; written first. Its status is
                       running, interrupted, finished or stopped early; a killed run stays running
  config.yaml          resolved
  manifest.yaml        of the dataset
  metrics.jsonl        one line per logged step and per validation
  cache.lock.json      the views and stores that it reads
  checkpoints/step-*   the latest
  best/step-*          the best by the chosen model; before the first validation the newest
  profile/             traces of --profile
  tensorboard/
  evaluation/          <split>-<weights>/report.json, with tables and pictures beside it
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rsmtdf_core.errors import RunError
from rsmtdf_core.files import atomic_file, read_json, write_json
from rsmtdf_core.fingerprints import differences
from rsmtdf_core.settings import Settings
from rsmtdf_core.store.metadata import sealed
from rsmtdf_core.training.history import ranked, validations
from rsmtdf_core.validation import dump_yaml, load_yaml, validate

if TYPE_CHECKING:
    from rsmtdf_core.training.checkpoint import Checkpoint

FORMAT = 1

Status = Literal["running", "interrupted", "finished", "stopped early"]
ENDED: tuple[Status, ...] = ("finished", "stopped early")


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
        """What run.json tells: `status`, `total` steps, and where they apply `steps` done, `initial`, `trackers`."""
        return read_json(self.marker, RunError)

    def note(self, **facts: object) -> None:
        """Change some of what run.json tells."""
        write_json(self.marker, self.facts | facts)

    def prepare(
        self,
        config: Settings,
        manifest: Settings,
        *,
        resume: bool,
        overwrite: bool,
        initial: Mapping[str, str] | None = None,
    ) -> None:
        """Make the folder for a new run, or check that it is the run to resume.

        Args:
            config: the experiment's. A resumed run may change its `runtime`, but not the
                `runtime.precision`, and its `evaluation.inference.batch`, and keeps the new ones.
            manifest: the dataset's. A resumed run may change its `title`, `notes` and `protocols`.
            resume: whether a run is to be there.
            overwrite: whether a run that is there is deleted.
            initial: which weights a new run starts from, for run.json.

        Raises:
            RunError: where a run is there and neither was asked for, where the folder holds something
                else than a run, or where the run to resume is another one.
            ConfigError: where the config or the manifest of the run to resume is damaged.
        """
        if self.marker.is_file():
            if overwrite:
                self._delete()
            elif not resume:
                raise RunError(
                    "a run is there already",
                    where=self.path,
                    remedy="go on with --resume, start anew with --overwrite, or name another with --run",
                )
            else:
                self._require_same(config, manifest)
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
        if not self.marker.is_file():
            for leftover in self.path.glob(f"{self.marker.name}.tmp-*"):
                leftover.unlink()
            started = {} if initial is None else {"initial": dict(initial)}
            write_json(self.marker, {"format": FORMAT, "status": "running", **started})
        for path, settings in ((self.config, config), (self.manifest, manifest)):
            with atomic_file(path) as file:
                file.write(dump_yaml(settings).encode())

    def _is_marker_to_be(self, path: Path) -> bool:
        """Whether this is all that a process left that was killed before there was a run."""
        return path.name.startswith(f"{self.marker.name}.tmp-")

    def _delete(self) -> None:
        # The marker last: a kill must not leave a folder that --overwrite does not know as a run.
        for path in self.path.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path != self.marker:
                path.unlink()
        self.marker.unlink()

    def _require_same(self, config: Settings, manifest: Settings) -> None:
        open_run(self.path)
        changes = [
            *differences(_deciding(_kept(self.config, config)), _deciding(config)),
            *differences(
                _data_facts(_kept(self.manifest, manifest)), _data_facts(manifest), "manifest"
            ),
        ]
        if changes:
            raise RunError(
                f"the config differs from that of the run to resume: {'; '.join(changes)}",
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

    def sync_metrics(self) -> None:
        """Make the lines survive a power cut, as a checkpoint does that is saved after them."""
        if self.metrics.is_file():
            with self.metrics.open("rb") as file:
                os.fsync(file.fileno())

    def best_checkpoint(
        self, on_damaged: Callable[[str], None] = lambda _: None
    ) -> "Checkpoint | None":
        """The whole checkpoint with the best validation, or the newest one where none was validated.

        `on_damaged` is told of better ones that are damaged.
        """
        from rsmtdf_core.training.checkpoint import checkpoint_name, checkpoints_in, first_whole

        kept, latest = (checkpoints_in(at)[::-1] for at in (self.best, self.checkpoints))
        there = {path.name: path for path in [*latest, *kept]}
        names = [checkpoint_name(one.steps) for one in ranked(validations(self.read_metrics()))]
        scored = [there.pop(name) for name in names if name in there]
        others = [path for path in [*kept, *latest] if path in there.values()]
        return first_whole([*scored, *others], on_damaged)

    def forget_after(self, step: int) -> None:
        """Drop the metrics of steps from `step` on: they are computed again."""
        kept = [record for record in self.read_metrics() if record["step"] < step]
        with atomic_file(self.metrics) as file:
            file.write("".join(json.dumps(record) + "\n" for record in kept).encode())

    def lock(self, features: dict[str, Any]) -> None:
        """Name the views and stores that this run reads."""
        write_json(self.path / "cache.lock.json", sealed({"format": FORMAT, **features}))


def _kept(path: Path, like: Settings) -> Settings:
    """What a run wrote, as settings of today: a key that came later has its default, which is what the run did."""
    return validate(type(like), load_yaml(path), str(path))


def _deciding(config: Settings) -> dict[str, Any]:
    """What decides what a run computes: everything but where, how fast and how much at a time."""
    deciding = config.model_dump(mode="json", exclude={"evaluation": {"inference": {"batch"}}})
    return {**deciding, "runtime": {"precision": deciding["runtime"]["precision"]}}


def _data_facts(manifest: Settings) -> dict[str, Any]:
    """What decides the same of the data: words do not, nor do rules that no training is scored by."""
    return manifest.model_dump(mode="json", exclude={"title", "notes", "protocols"})


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
