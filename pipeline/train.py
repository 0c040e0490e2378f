"""Stage two: the student learns from labeled and unlabeled views and, by method, from cached tokens.

No teacher is loaded here, and that is checked, unless the config asks for the online control.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.utils.tensorboard import SummaryWriter

from pipeline.config import ExperimentConfig, dump_config
from pipeline.features import Features, find_features
from pipeline.plan import Experiment, plan_experiment
from pipeline.reporter import Bar, Reporter, Silent
from pipeline.scoring import count_confusion, scored_scenes
from rsmtdf_core.errors import RunError
from rsmtdf_core.evaluation.scores import Scores, scores
from rsmtdf_core.manifests.reader import SceneReader
from rsmtdf_core.settings import Settings
from rsmtdf_core.student.model import Student
from rsmtdf_core.teachers.teacher import live_teachers
from rsmtdf_core.training.checkpoint import (
    drop_old,
    keep_best,
    newest_checkpoint,
    save_checkpoint,
)
from rsmtdf_core.training.data import StepDataset
from rsmtdf_core.training.ema import ema_copy
from rsmtdf_core.training.loop import StepRecord, Training, make_optimiser
from rsmtdf_core.training.objectives.registry import objective_class
from rsmtdf_core.training.run_folder import RunFolder
from rsmtdf_core.training.schedule import BatchSchedule
from rsmtdf_core.views.render import ViewRenderer


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


def train(
    config: ExperimentConfig,
    run: Path | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> TrainReport:
    """Train as the config says, in the folder `run` (by default named after the config).

    Raises:
        RunError: where the run folder is not as `resume` and `overwrite` expect, or the loss diverges.
        StoreError: where the cache does not hold the features that the config needs.
    """
    reporter = reporter or Silent()
    teachers_before = live_teachers()
    experiment = plan_experiment(config)
    accelerator = _accelerator(config)
    features = find_features(experiment, accelerator.device)
    for sentence in features.cautions:
        reporter.warn(sentence)
    folder = RunFolder(run or config.run_folder)
    if accelerator.is_main_process:
        folder.prepare(dump_config(config), resume=resume, overwrite=overwrite)
        if features.lock is not None:
            folder.lock(features.lock)
    accelerator.wait_for_everyone()
    training = _training(experiment, features, accelerator)
    if config.objective.teachers == "cached":
        assert live_teachers() == teachers_before, (
            "a teacher was loaded although its tokens are cached"
        )
    session = _Session(experiment, features, folder, training, reporter)
    session.run(resume=resume)
    return session.report()


def _accelerator(config: ExperimentConfig) -> Accelerator:
    precision = {"fp32": "no"}.get(config.runtime.precision, config.runtime.precision)
    accelerator = Accelerator(cpu=config.runtime.device == "cpu", mixed_precision=precision)
    if config.runtime.device == "cuda" and accelerator.device.type != "cuda":
        raise RunError(
            "runtime.device is cuda, but there is no GPU", remedy="--set runtime.device=auto"
        )
    set_seed(config.seed)
    return accelerator


def _training(experiment: Experiment, features: Features, accelerator: Accelerator) -> Training:
    config, manifest = experiment.config, experiment.dataset.manifest
    objective = objective_class(config.objective.method)(config.objective, manifest.ignore_id)
    student = Student(config.student, len(manifest.classes), config.views.crop, features.shapes)
    student.to(accelerator.device)
    schedule = BatchSchedule(
        experiment.plan,
        config.optimiser.batch,
        config.seed,
        accelerator.process_index,
        accelerator.num_processes,
    )
    renderer = ViewRenderer(SceneReader(experiment.dataset), experiment.plan)
    return Training(
        accelerator=accelerator,
        student=student,
        ema=ema_copy(student),
        optimiser=make_optimiser(student, config.optimiser, accelerator.device),
        objective=objective,
        dataset=StepDataset(renderer, schedule, features.crops, objective.uses_unlabeled),
        targets=features.targets,
        settings=config.optimiser,
        workers=config.runtime.workers,
    )


@dataclass
class _Best:
    miou: float | None = None
    epoch: int | None = None


class _Session:
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
        total = self._training.total_steps
        self._folder.forget_after(start)
        with (
            SummaryWriter(str(self._folder.tensorboard), purge_step=start) as board,
            self._reporter.bar("train", total, start) as bar,
        ):
            for record in self._training.steps(start):
                self._log(record, board, bar)
                if self._closes_round(record):
                    self._validate(record, board)
                    self._save(record.step + 1)

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
        checkpoint.restore(self._training.student, self._training.ema, self._training.optimiser)
        self._best = _Best(**checkpoint.state["best"])
        step = int(checkpoint.state["step"])
        self._reporter.say(f"resuming at step {step} of {self._training.total_steps}")
        return step

    def _closes_round(self, record: StepRecord) -> bool:
        """Whether the step ends an epoch after which the model is validated and saved."""
        if record.step + 1 == self._training.total_steps:
            return True
        epoch, place = divmod(record.step + 1, self._training.dataset.schedule.steps_per_epoch)
        return place == 0 and epoch % self._config.evaluation.every == 0

    def _log(self, record: StepRecord, board: SummaryWriter, bar: Bar) -> None:
        if (
            record.step % self._config.runtime.log_every
            and record.step + 1 < self._training.total_steps
        ):
            bar.advance()
            return
        losses = {name: float(loss) for name, loss in record.losses.items()}
        if not math.isfinite(losses["loss"]):
            raise RunError(
                f"the loss is {losses['loss']} at step {record.step}",
                where=self._folder.path,
                remedy="lower optimiser.lr, or use runtime.precision: fp32",
            )
        line = asdict(record) | losses
        del line["losses"]
        self._folder.log(line)
        for name, value in (losses | {"lr": record.lr}).items():
            board.add_scalar(f"train/{name}", value, record.step)
        bar.advance(note=self._note(losses["loss"]))

    def _note(self, loss: float) -> str:
        best = "" if self._best.miou is None else f", best val mIoU {100 * self._best.miou:.2f}"
        return f"loss {loss:.4f}{best}"

    def _validate(self, record: StepRecord, board: SummaryWriter) -> None:
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
        line = {"step": record.step, "epoch": record.epoch, "miou": result.miou, "iou": iou}
        self._folder.log(line | {"weights": which, "split": "val"})
        board.add_scalar("val/miou", result.miou, record.step)
        if self._best.miou is None or result.miou > self._best.miou:
            self._best = _Best(result.miou, record.epoch + 1)

    def _save(self, step: int) -> None:
        epoch = step // self._training.dataset.schedule.steps_per_epoch
        state = {
            "step": step,
            "epoch": epoch,
            "best": asdict(self._best),
            "teachers": [asdict(shape) for shape in self._features.shapes],
            "random_teachers": list(self._features.random_teachers),
            "approximations": list(self._features.approximations),
        }
        training = self._training
        saved = save_checkpoint(
            self._folder.checkpoints, training.student, training.ema, training.optimiser, state
        )
        if self._best.epoch in (None, epoch):
            keep_best(saved, self._folder.best)
        drop_old(self._folder.checkpoints, self._config.runtime.keep_checkpoints)
