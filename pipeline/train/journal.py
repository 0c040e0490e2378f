"""The outputs of a training: metrics.jsonl, TensorBoard, trackers and the console; at its end, a report."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from accelerate import Accelerator

from pipeline.reporter import Bar, Reporter
from pipeline.train.scalars import ScalarFile
from pipeline.train.trackers import tracking
from rsmtdf_core.charts.curves import EXPLAINED, THRESHOLDS, TRUSTED
from rsmtdf_core.runs.folder import RunFolder, Status
from rsmtdf_core.runs.history import Validation
from rsmtdf_core.settings import Settings
from rsmtdf_core.training.loop import StepRecord
from rsmtdf_core.training.meter import Measures

_SHOWN = 6  # maximum number of classes in a line of the console


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
        trains_head: whether the method trains the head; otherwise the run was neither validated nor can be scored.
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
    trains_head: bool = True
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
        classes: names of the classes by id.
    """

    def __init__(
        self,
        folder: RunFolder,
        accelerator: Accelerator,
        reporter: Reporter,
        start: int,
        total: int,
        classes: Sequence[str] = (),
    ) -> None:
        self._folder = folder
        self._accelerator = accelerator
        self._reporter = reporter
        self._start, self._total = start, total
        self._classes = classes
        self._measures: Measures | None = None
        self._logged = start
        self._phase = ""
        self._worst = ""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as entering:
            scalars = ScalarFile(self._folder.tensorboard, self._start)
            self._scalars = entering.enter_context(scalars)
            bar = self._reporter.bar("train", self._total, self._start, at_notes=True)
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

    def step(
        self, record: StepRecord, measures: Measures, best: Validation | None, phase: str = ""
    ) -> None:
        """Log the means of the interval that ends with a step, and show the best validation so far.

        A phase before the method has a name. Its sum of losses is only shown, because that of the method, which would
        continue its curve, is another sum.
        """
        losses, groups = measures.losses, self._groups(measures)
        losses = {name: loss for name, loss in losses.items() if not phase or name != "loss"}
        self._folder.log(
            {
                "step": record.step,
                **({"phase": phase} if phase else {}),
                "epoch": record.epoch,
                "lr": record.lr,
                "interval": measures.steps,
                **losses,
                **groups,
                **record.weights,
                "seconds": record.clock.seconds(),
            }
        )
        by_key = {
            f"{name}/{key}": value
            for name, values in groups.items()
            for key, value in values.items()
            if value is not None
        }
        scalars = losses | by_key | record.weights | {"lr": record.lr}
        self._add_scalars(
            {f"{phase or 'train'}/{name}": value for name, value in scalars.items()}, record.step
        )
        self._measures, self._logged, self._phase = measures, record.step + 1, phase
        self._bar.advance(note=self._note(best))

    def _groups(self, measures: Measures) -> dict[str, dict[str, float | None]]:
        """Return the measures by class and by teacher, as in metrics.jsonl."""
        groups: dict[str, dict[str, float | None]] = {}
        if measures.trusted:
            groups[TRUSTED] = dict(zip(self._classes, measures.trusted, strict=True))
        if measures.thresholds:
            groups[THRESHOLDS] = dict(zip(self._classes, measures.thresholds, strict=True))
        if measures.explained:
            groups[EXPLAINED] = dict(measures.explained)
        return groups

    def validation(self, line: dict[str, Any], best: Validation | None) -> None:
        """Log a validation's line of metrics, and show the best validation, which may be this one."""
        self._folder.log(line)
        self._worst = worst_class(line.get("iou", {}))
        self._add_scalars({"val/miou": line["miou"]}, line["step"])
        self._bar.advance(0, note=self._note(best))

    def round(self, record: StepRecord, validation: Validation | None) -> None:
        """Show a line with the validation of an epoch, if any, and the means of the last interval."""
        parts = [f"{self._phase} epoch {record.epoch + 1}, step {record.step + 1:,}".lstrip()]
        if validation is not None:
            parts[0] += f": val mIoU {100 * validation.miou:.2f}{self._worst}"
        if self._measures is not None:
            first = self._logged - self._measures.steps + 1
            steps = (
                f"step {first:,}"
                if first == self._logged
                else f"steps {first:,} to {self._logged:,}"
            )
            parts.append(f"{steps}: {measures_text(self._measures, self._classes)}")
        self._reporter.say("; ".join(parts))

    def _note(self, best: Validation | None) -> str:
        """Describe the last interval and the best validation in a few words, for the bar."""
        parts = []
        if self._measures is not None:
            parts.append(f"{self._phase} loss {self._measures.losses['loss']:.4f}".lstrip())
        if best is not None:
            note = f"best val mIoU {100 * best.miou:.2f}"
            parts.append(
                note if best.only_class is None else f"{note} ({best.only_class} everywhere)"
            )
        return ", ".join(parts)

    def _add_scalars(self, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self._scalars.add(name, value, step)
        if self._accelerator.trackers:
            with tracking(self._folder, self._accelerator.num_processes):
                self._accelerator.log(values, step=step)


def worst_class(scores: Mapping[str, float | None]) -> str:
    """Describe the class with the lowest IoU, after a space; empty unless several classes have one.

    Args:
        scores: IoU in 0..1 by class; None for a class that neither masks nor predictions have.
    """
    known = {name: iou for name, iou in scores.items() if iou is not None}
    if len(known) < 2:
        return ""
    name = min(known, key=lambda name: known[name])
    return f" (worst class: {name} {100 * known[name]:.2f})"


def measures_text(measures: Measures, classes: Sequence[str]) -> str:
    """Format the means of an interval in a line: all scalars, the lowest values by class, and each teacher."""
    scalars = dict(measures.losses)
    loss = f"loss {scalars.pop('loss'):.4g}"
    if scalars:
        loss += f" ({', '.join(f'{name} {value:.4g}' for name, value in scalars.items())})"
    texts = [loss]
    for values, every, lowest in (
        (measures.trusted, "trusted by class", "least trusted classes"),
        (measures.thresholds, "thresholds by class", "lowest thresholds"),
    ):
        by_class = zip(classes, values, strict=False)
        shares = {name: share for name, share in by_class if share is not None}
        least = dict(sorted(shares.items(), key=lambda item: item[1])[:_SHOWN])
        if least:
            texts.append(f"{every if len(least) == len(shares) else lowest}: {_percent(least)}")
    if measures.explained:
        texts.append(f"explained variance: {_percent(measures.explained)}")
    return "; ".join(texts)


def _percent(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {100 * share:.1f} %" for name, share in shares.items())
