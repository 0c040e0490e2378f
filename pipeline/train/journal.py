"""The outputs of a training: metrics.jsonl, TensorBoard, trackers and the progress bar; at its end, a report."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from accelerate import Accelerator

from pipeline.reporter import Bar, Reporter
from pipeline.train.scalars import ScalarFile
from pipeline.train.trackers import tracking
from rsmtdf_core.runs.folder import RunFolder, Status
from rsmtdf_core.runs.history import Validation
from rsmtdf_core.settings import Settings
from rsmtdf_core.training.loop import StepRecord


class TrainReport(Settings):
    """The result of a training.

    Attributes:
        run: the run's folder.
        status: finished or stopped early.
        steps: total number of trained steps.
        parameters: number of the student's parameters.
        best_miou: best mean IoU on the validation split, in 0..1; None without the split.
        best_epoch: epoch of the best mean IoU, from 1.
        only_class: the class that the best model predicts everywhere; None if it predicts several.
        weights: the model that was scored.
        random_teachers: teachers with random weights.
        approximations: differences between the distillation and the reference's.
    """

    run: Path
    status: Status
    steps: int
    parameters: int
    best_miou: float | None
    best_epoch: int | None
    only_class: str | None
    weights: str
    random_teachers: tuple[str, ...]
    approximations: tuple[str, ...]


class Journal:
    """Write each logged step and each validation to all outputs.

    Args:
        folder: the run's folder.
        accelerator: holds the trackers.
        reporter: shows the bar.
        start: the first step, counted from 0.
        total: steps of the whole training.
    """

    def __init__(
        self,
        folder: RunFolder,
        accelerator: Accelerator,
        reporter: Reporter,
        start: int,
        total: int,
    ) -> None:
        self._folder = folder
        self._accelerator = accelerator
        self._reporter = reporter
        self._start, self._total = start, total
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as entering:
            scalars = ScalarFile(self._folder.tensorboard, self._start)
            self._scalars = entering.enter_context(scalars)
            bar = self._reporter.bar("train", self._total, self._start)
            self._bar: Bar = entering.enter_context(bar)
            self._stack = entering.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def passed(self) -> None:
        """Advance by a step that is not logged."""
        self._bar.advance()

    def step(self, record: StepRecord, losses: dict[str, float], best: Validation | None) -> None:
        """Log a step with its mean losses over processes, and show the best validation so far."""
        self._folder.log(
            {
                "step": record.step,
                "epoch": record.epoch,
                "lr": record.lr,
                **losses,
                **record.weights,
                "seconds": record.clock.seconds(),
            }
        )
        scalars = losses | record.weights | {"lr": record.lr}
        self._add_scalars({f"train/{name}": value for name, value in scalars.items()}, record.step)
        note = f"loss {losses['loss']:.4f}"
        if best is not None:
            note += f", best val mIoU {100 * best.miou:.2f}"
            if best.only_class is not None:
                note += f" ({best.only_class} everywhere)"
        self._bar.advance(note=note)

    def validation(self, line: dict[str, Any]) -> None:
        """Log a validation's line of metrics."""
        self._folder.log(line)
        self._add_scalars({"val/miou": line["miou"]}, line["step"])

    def _add_scalars(self, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self._scalars.add(name, value, step)
        if self._accelerator.trackers:
            with tracking(self._folder, self._accelerator.num_processes):
                self._accelerator.log(values, step=step)
