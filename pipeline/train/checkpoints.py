"""The checkpoints of a training: save and restore them, and keep the best."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline.plan import Experiment
from pipeline.reporter import Reporter
from pipeline.train.phases import Phases
from rsmtdf_core.errors import RunError
from rsmtdf_core.fingerprints import differences
from rsmtdf_core.runs.checkpoint import (
    checkpoints_in,
    first_whole,
    load_checkpoint,
    save_checkpoint,
)
from rsmtdf_core.runs.checkpoint_state import (
    checkpoint_fingerprint,
    checkpoint_name,
    read_state,
)
from rsmtdf_core.runs.folder import RunFolder
from rsmtdf_core.runs.history import Validation, ranked
from rsmtdf_core.runs.retention import (
    clear_leftovers,
    drop_old,
    keep_copy,
    keep_only,
    rename_damaged,
    set_aside,
)


class Keeper:
    """The checkpoints of one run."""

    def __init__(
        self,
        experiment: Experiment,
        phases: Phases,
        folder: RunFolder,
    ) -> None:
        self._runtime = experiment.config.runtime
        self._parent = {
            "views": experiment.plan.address,
            "plan": experiment.plan.fingerprint,
            "stores": {},
            **(phases.features.lock or {}),
        }
        self._phases = phases
        self._folder = folder
        self.saved: int | None = None
        """Steps of the newest intact checkpoint."""

    def restore(self, reporter: Reporter) -> int:
        """Load the newest intact checkpoint and return its number of steps, 0 without a checkpoint.

        Raises:
            RunError: If it was trained on other views or features, or if no checkpoint is intact and the
                run did not start from random weights.
        """
        checkpoint = first_whole(
            self._newest_first(),
            lambda damage: reporter.warn(f"skipping a damaged checkpoint: {damage}"),
        )
        if checkpoint is None:
            if initial := self._folder.facts.get("initial"):
                raise RunError(
                    "the run has no intact checkpoint, and it did not start from random weights",
                    where=self._folder.path,
                    remedy=f"start again with --init-from {initial['path']} --overwrite",
                )
            reporter.warn("no checkpoint to resume from: starting at step 0")
            return 0
        changes = list(differences(checkpoint.state["parent"], self._parent))
        if changes:
            raise RunError(
                f"the run was trained on other views or features: {changes[0]}",
                where=checkpoint.path,
                remedy="restore them, or start a new run with --run",
            )
        training = self._phases.select(int(checkpoint.state["step"])).training
        checkpoint.restore(
            training.student, training.ema, training.optimiser, training.method_state
        )
        training.resume_interval(checkpoint.interval)
        scaler = training.accelerator.scaler
        if scaler is not None and checkpoint.state["scaler"]:
            scaler.load_state_dict(checkpoint.state["scaler"])
        self.saved = int(checkpoint.state["step"])
        return self.saved

    @property
    def has_checkpoints(self) -> bool:
        """Whether there is a checkpoint to resume from."""
        return bool(self._newest_first())

    def _newest_first(self) -> list[Path]:
        """Return the latest and the best checkpoints: the best may be intact even if the latest are not."""
        folders = (self._folder.checkpoints, self._folder.best)
        paths = [path for folder in folders for path in checkpoints_in(folder)]
        return sorted(paths, key=lambda path: path.name, reverse=True)

    def tidy(self, start: int, reporter: Reporter) -> None:
        """Restore the state of the folder as of step `start`, regardless of when the run was stopped.

        Damaged lines of metrics are dropped, and damaged best checkpoints renamed to `damaged-step-*`.
        """
        folder = self._folder
        locked = self._phases.features.locked()
        if locked is not None:
            folder.lock(locked)
        if damage := folder.metrics_lines().damage:
            reporter.warn(f"{damage}: dropped ({folder.metrics})")
        folder.forget_after(start)
        for checkpoints in (folder.checkpoints, folder.best):
            clear_leftovers(checkpoints)
            set_aside(checkpoints, start)
        self._set_aside_damaged(start, reporter)
        self.keep_best(folder.validations)
        self.drop_old()

    def _set_aside_damaged(self, start: int, reporter: Reporter) -> None:
        """Rename damaged checkpoints among the best, so that others can replace them, and that of `start`."""
        latest = self._folder.checkpoints / checkpoint_name(start)
        for path in [*checkpoints_in(self._folder.best), *([latest] if latest.is_dir() else [])]:
            try:
                load_checkpoint(path)
            except RunError as error:
                damaged = rename_damaged(path)
                reporter.warn(f"a checkpoint is damaged and renamed to {damaged.name}: {error}")

    def available(self, history: list[Validation]) -> list[Validation]:
        """Return the validations whose checkpoint still exists, best first."""
        folders = (self._folder.checkpoints, self._folder.best)
        return [
            validation
            for validation in ranked(history)
            if any((folder / checkpoint_name(validation.steps)).is_dir() for folder in folders)
        ]

    def keep_best(self, history: list[Validation]) -> None:
        """Keep only the checkpoints of the best validations in `best/`; without any, the newest checkpoint."""
        best_validations = self.available(history)[: self._runtime.keep_best]
        steps = [validation.steps for validation in best_validations]
        if not steps and self.saved is not None:
            steps = [self.saved]
        best = {step: checkpoint_name(step) for step in steps}
        for name in best.values():
            saved = self._folder.checkpoints / name
            if saved.is_dir() and not (self._folder.best / name).is_dir():
                keep_copy(saved, self._folder.best)
        # Deleted last, so that a kill leaves too many rather than too few.
        self._folder.note_best(
            {
                step: checkpoint_fingerprint(*read_state(self._folder.best / name))
                for step, name in best.items()
            },
            history,
        )
        keep_only(self._folder.best, set(best.values()))

    def save(self, steps: int, interval: Mapping[str, Tensor]) -> None:
        """Save the state of the training after `steps` steps, with the sums of the logging interval."""
        phase, features = self._phases.current, self._phases.features
        training = phase.training
        scaler = training.accelerator.scaler
        state: dict[str, Any] = {
            "step": steps,
            "epoch": (steps - training.first_step) // training.schedule.steps_per_epoch,
            "scaler": None if scaler is None else scaler.state_dict(),
            "parent": self._parent,
            "method": phase.config.objective.method,
            "teachers": [asdict(shape) for shape in phase.features.shapes],
            "random_teachers": list(features.random_teachers),
            "approximations": list(features.approximations),
        }
        self._folder.sync_metrics()
        save_checkpoint(
            self._folder.checkpoints,
            training.student,
            training.ema,
            training.optimiser,
            state,
            training.method_state,
            interval,
        )
        self._folder.note_lines()
        self.saved = steps

    def drop_old(self) -> None:
        """Delete checkpoints that are neither among the latest nor among the best."""
        drop_old(self._folder.checkpoints, self._runtime.keep_checkpoints)
