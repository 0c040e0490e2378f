"""One training run from its first or resumed step to its last: logs, validations, checkpoints."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from pipeline.features import Features
from pipeline.plan import Experiment
from pipeline.reporter import Bar, Reporter
from pipeline.scoring import count_confusion, scored_scenes
from rsmtdf_core.errors import RunError
from rsmtdf_core.evaluation.scores import Scores, scores
from rsmtdf_core.fingerprints import differences
from rsmtdf_core.manifests.reader import SceneReader
from rsmtdf_core.settings import Settings
from rsmtdf_core.training.checkpoint import (
    checkpoint_name,
    drop_old,
    keep_best,
    newest_checkpoint,
    save_checkpoint,
)
from rsmtdf_core.training.loop import StepRecord, Training
from rsmtdf_core.training.run_folder import RunFolder


class TrainReport(Settings):
    """What a training came to.

    Attributes:
        run: the run's folder.
        steps: steps of the whole training.
        parameters: of the student.
        best_miou: on the validation split, in 0..1; None without one.
        best_epoch: the epoch it was reached in, from 1.
        weights: which model was scored.
        random_teachers: teachers whose weights are random.
        approximations: how distillation differs from the reference.
    """

    run: Path
    steps: int
    parameters: int
    best_miou: float | None
    best_epoch: int | None
    weights: str
    random_teachers: tuple[str, ...]
    approximations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Best:
    """The best validation: its score, its epoch from 1, and the steps trained until then."""

    miou: float | None = None
    epoch: int | None = None
    steps: int = 0

    def or_better(self, line: dict[str, Any]) -> "_Best":
        """This, or the validation that a line of metrics tells of where that is better."""
        if self.miou is not None and not line["miou"] > self.miou:
            return self
        return _Best(line["miou"], line["epoch"] + 1, line["step"] + 1)


class Session:
    """One training from its first or resumed step to its last: logs, validations, checkpoints."""

    def __init__(
        self,
        experiment: Experiment,
        features: Features,
        folder: RunFolder,
        training: Training,
        reporter: Reporter,
    ) -> None:
        self._config = experiment.config
        self._parent = {
            "views": experiment.plan.address,
            "plan": experiment.plan.fingerprint,
            "stores": {},
            **(features.lock or {}),
        }
        self._dataset = experiment.dataset
        self._features = features
        self._folder = folder
        self._training = training
        self._reporter = reporter
        self._best = _Best()
        self._reader = SceneReader(experiment.dataset)
        self._scenes = scored_scenes(experiment.dataset.splits.get("val", ()))

    def run(self, *, resume: bool) -> None:
        """Train to the end."""
        start = self._restore() if resume else 0
        accelerator = self._training.accelerator
        # Nobody may still read what the main process is about to tidy.
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            self._lead(start)
        else:
            self._follow(start)

    def _follow(self, start: int) -> None:
        """The same steps beside the main process, which alone logs, saves and validates."""
        for record in self._training.steps(start):
            if (
                record.step % self._config.runtime.log_every == 0
                or record.step + 1 == self._training.total_steps
            ):
                self._training.reduce(record.losses)
            if self._closes_round(record.step):
                self._training.accelerator.wait_for_everyone()

    def _lead(self, start: int) -> None:
        self._tidy(start)
        total = self._training.total_steps
        with (
            SummaryWriter(str(self._folder.tensorboard), purge_step=start) as board,
            self._reporter.bar("train", total, start) as bar,
        ):
            if start and not self._validated(start):
                self._validate(start - 1, board)
            for record in self._training.steps(start):
                self._log(record, board, bar)
                if self._closes_round(record.step):
                    # Saved first: what a validation meets must not cost the epoch.
                    self._save(record.step + 1)
                    self._validate(record.step, board)
                    drop_old(self._folder.checkpoints, self._config.runtime.keep_checkpoints)
                    self._training.accelerator.wait_for_everyone()

    def _tidy(self, start: int) -> None:
        """Bring the folder to where step `start` finds it, whenever the run was stopped."""
        locked = self._features.locked()
        if locked is not None:
            self._folder.lock(locked)
        self._folder.forget_after(start)
        for line in self._validations():
            name = checkpoint_name(line["step"] + 1)
            if any((at / name).is_dir() for at in (self._folder.checkpoints, self._folder.best)):
                self._best = self._best.or_better(line)
        saved = self._folder.checkpoints / checkpoint_name(self._best.steps)
        if saved.is_dir():
            keep_best(saved, self._folder.best)

    def _validations(self) -> list[dict[str, Any]]:
        return [line for line in self._folder.read_metrics() if line.get("split") == "val"]

    def _validated(self, steps: int) -> bool:
        return any(line["step"] + 1 == steps for line in self._validations())

    def report(self) -> TrainReport:
        """What the training came to."""
        return TrainReport(
            run=self._folder.path,
            steps=self._training.total_steps,
            parameters=sum(one.numel() for one in self._training.student.parameters()),
            best_miou=self._best.miou,
            best_epoch=self._best.epoch,
            weights=self._config.evaluation.weights,
            random_teachers=self._features.random_teachers,
            approximations=self._features.approximations,
        )

    def _restore(self) -> int:
        checkpoint, warnings = newest_checkpoint(self._folder.checkpoints)
        for warning in warnings:
            self._reporter.warn(f"passing over a damaged checkpoint: {warning}")
        if checkpoint is None:
            self._reporter.warn("no checkpoint to resume from: starting at step 0")
            return 0
        changes = list(differences(checkpoint.state["parent"], self._parent))
        if changes:
            raise RunError(
                f"the run was trained on other views or features: {changes[0]}",
                where=checkpoint.path,
                remedy="restore them, or start a new run with --run",
            )
        training = self._training
        checkpoint.restore(training.student, training.ema, training.optimiser)
        scaler = training.accelerator.scaler
        if scaler is not None and checkpoint.state["scaler"]:
            scaler.load_state_dict(checkpoint.state["scaler"])
        step = int(checkpoint.state["step"])
        self._reporter.say(f"resuming at step {step} of {training.total_steps}")
        return step

    def _closes_round(self, step: int) -> bool:
        """Whether `step` ends an epoch after which the model is saved and validated."""
        if step + 1 == self._training.total_steps:
            return True
        epoch, place = divmod(step + 1, self._training.schedule.steps_per_epoch)
        return place == 0 and epoch % self._config.evaluation.every == 0

    def _is_logged(self, step: int) -> bool:
        last = self._training.total_steps - 1
        return step % self._config.runtime.log_every == 0 or step == last

    def _log(self, record: StepRecord, board: SummaryWriter, bar: Bar) -> None:
        if not self._is_logged(record.step):
            bar.advance()
            return
        losses = {name: float(loss) for name, loss in self._training.reduce(record.losses).items()}
        if not math.isfinite(losses["loss"]):
            raise RunError(
                f"the loss is {losses['loss']} at step {record.step}",
                where=self._folder.path,
                remedy="lower optimiser.lr, or use runtime.precision: fp32",
            )
        told = {"step": record.step, "epoch": record.epoch, "lr": record.lr}
        self._folder.log(told | losses | {"seconds": record.clock.seconds()})
        for name, value in (losses | {"lr": record.lr}).items():
            board.add_scalar(f"train/{name}", value, record.step)
        bar.advance(note=self._note(losses["loss"]))

    def _note(self, loss: float) -> str:
        best = "" if self._best.miou is None else f", best val mIoU {100 * self._best.miou:.2f}"
        return f"loss {loss:.4f}{best}"

    def _validate(self, step: int, board: SummaryWriter) -> None:
        """Score the model as `step` left it; the best one's checkpoint, saved already, is kept."""
        if not self._scenes:
            return
        which = self._config.evaluation.weights
        model = self._training.ema if which == "ema" else self._training.student
        matrix = count_confusion(
            model, self._reader, self._scenes, self._config.evaluation.inference
        )
        manifest = self._dataset.manifest
        result: Scores = scores(matrix, manifest.class_names, manifest.unscored)
        iou = {one.name: one.iou for one in result.classes}
        epoch = step // self._training.schedule.steps_per_epoch
        line = {"step": step, "epoch": epoch, "miou": result.miou, "iou": iou}
        self._folder.log(line | {"weights": which, "split": "val"})
        board.add_scalar("val/miou", result.miou, step)
        self._best = self._best.or_better(line)
        if self._best.steps == step + 1:
            keep_best(self._folder.checkpoints / checkpoint_name(step + 1), self._folder.best)

    def _save(self, step: int) -> None:
        training = self._training
        scaler = training.accelerator.scaler
        state = {
            "step": step,
            "epoch": step // training.schedule.steps_per_epoch,
            "scaler": None if scaler is None else scaler.state_dict(),
            "parent": self._parent,
            "teachers": [asdict(shape) for shape in self._features.shapes],
            "random_teachers": list(self._features.random_teachers),
            "approximations": list(self._features.approximations),
        }
        save_checkpoint(
            self._folder.checkpoints, training.student, training.ema, training.optimiser, state
        )
