"""The training loop: one step after another, told as records; the caller logs, scores and saves.

A step: batch to the device, targets, losses, backward, AdamW with the rate of that step, EMA.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor

from rsmtdf_core.student.model import Student, parameter_groups
from rsmtdf_core.training.ema import ema_ratio, update_ema
from rsmtdf_core.training.objectives.base import Models, Objective, student_images
from rsmtdf_core.training.pixels import PixelSource
from rsmtdf_core.training.schedule import BatchSchedule
from rsmtdf_core.training.settings import OptimiserSettings
from rsmtdf_core.training.targets import TargetSource


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What one step did.

    Attributes:
        step: counted from 0.
        epoch: counted from 0.
        losses: by name, scalars still on the device, so that only logged steps wait for them.
        lr: the encoder's learning rate.
        seconds: wall time as the host saw it: of the whole `step`, and of the wait for its `data`.
    """

    step: int
    epoch: int
    losses: dict[str, Tensor]
    lr: float
    seconds: dict[str, float]


@dataclass
class Training:
    """Everything a training holds between steps.

    Attributes:
        accelerator: device placement, precision and process group.
        student: the model being trained, unwrapped.
        ema: its EMA model.
        optimiser: AdamW over the student.
        objective: the method.
        pixels: the batches by step.
        targets: the teachers' tokens; None where the objective uses none.
        settings: the optimiser's settings.
    """

    accelerator: Accelerator
    student: Student
    ema: Student
    optimiser: torch.optim.Optimizer
    objective: Objective
    pixels: PixelSource
    targets: TargetSource | None
    settings: OptimiserSettings

    @property
    def total_steps(self) -> int:
        """Steps of the whole training."""
        steps = self.settings.epochs * self.schedule.steps_per_epoch
        return min(steps, self.settings.max_steps or steps)

    def reduce(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """The means over all processes of one step's losses; all of them must ask."""
        means: dict[str, Tensor] = self.accelerator.reduce(losses, "mean")
        return means

    @property
    def schedule(self) -> BatchSchedule:
        """Which rows each step has."""
        return self.pixels.schedule

    def steps(self, start: int = 0) -> Iterator[StepRecord]:
        """Train from step `start` to the end, yielding after each step."""
        device = self.accelerator.device
        wrapped, optimiser = self.accelerator.prepare(self.student, self.optimiser)
        models = Models(wrapped, self.ema)
        stop = self.total_steps
        with ExitStack() as sources:
            pixels = sources.enter_context(self.pixels.opened(start, stop))
            targets_of = (
                sources.enter_context(self.targets.opened(self.schedule, start, stop))
                if self.targets
                else None
            )
            for step in range(start, stop):
                # Validation between steps switches to eval mode.
                self.student.train()
                began = time.perf_counter()
                batch = next(pixels).to(device)
                rows = self.schedule.rows(step)
                assert batch.step == step, "the loader lost its place"
                targets = targets_of(rows, student_images(batch)) if targets_of else None
                ready = time.perf_counter()
                lr = self._set_rates(step)
                with self.accelerator.autocast():
                    losses = self.objective(models, batch, targets)
                optimiser.zero_grad(set_to_none=True)
                self.accelerator.backward(losses["loss"])
                optimiser.step()
                update_ema(self.ema, self.student, ema_ratio(step, self.settings.ema))
                done = time.perf_counter()
                detached = {name: loss.detach() for name, loss in losses.items()}
                seconds = {"step": done - began, "data": ready - began}
                yield StepRecord(step, rows.epoch, detached, lr, seconds)

    def _set_rates(self, step: int) -> float:
        """Poly decay: lr * (1 - step / total) ** power, times the multiplier for all but the encoder."""
        left = 1 - step / self.total_steps
        schedule = self.schedule
        lr: float = (
            self.settings.scaled_lr(schedule.batch * schedule.world) * left**self.settings.power
        )
        for group in self.optimiser.param_groups:
            group["lr"] = lr * group["multiplier"]
        return lr


def make_optimiser(
    student: Student, settings: OptimiserSettings, device: torch.device
) -> torch.optim.AdamW:
    """AdamW over the student's two groups: the encoder at lr, everything else at lr * multiplier."""
    groups = parameter_groups(student, settings.lr, settings.multiplier)
    for group in groups:
        group["multiplier"] = group["lr"] / settings.lr
    return torch.optim.AdamW(
        groups, weight_decay=settings.weight_decay, fused=device.type == "cuda"
    )
