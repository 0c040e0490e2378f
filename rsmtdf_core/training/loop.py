"""The training loop: one step after another, told as records; the caller logs, scores and saves.

A step: batch to the device, targets, then, in as many parts as asked for, losses and backward pass; AdamW with the
rate of that step; EMA.
"""

from collections.abc import Generator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from torch import Tensor

from rsmtdf_core.student.model import Student, parameter_groups
from rsmtdf_core.training.ahead import on_device
from rsmtdf_core.training.clock import StepClock
from rsmtdf_core.training.data import Batch
from rsmtdf_core.training.ema import ema_ratio, update_ema
from rsmtdf_core.training.finite import GRADIENTS, Divergence, FiniteCheck
from rsmtdf_core.training.methods.base import Counts, Models, Objective, student_images
from rsmtdf_core.training.schedule import BatchSchedule
from rsmtdf_core.training.settings import OptimiserSettings
from rsmtdf_core.training.sources import PixelSource
from rsmtdf_core.training.targets import Targets, TargetSource


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What one step did.

    Attributes:
        step: counted from 0.
        epoch: counted from 0.
        losses: by name, scalars still on the device, so that only logged steps wait for them; of several
            processes' losses the mean is the step's (`Training.reduce`).
        lr: the encoder's learning rate.
        clock: where its time went.
    """

    step: int
    epoch: int
    losses: dict[str, Tensor]
    lr: float
    clock: StepClock


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
        parts: how many parts a step is computed in, one after the other.
        compiled: whether the models are compiled.
        finite: the check of every step's losses and gradients.
    """

    accelerator: Accelerator
    student: Student
    ema: Student
    optimiser: torch.optim.Optimizer
    objective: Objective
    pixels: PixelSource
    targets: TargetSource | None
    settings: OptimiserSettings
    parts: int = 1
    compiled: bool = False
    finite: FiniteCheck = field(init=False)

    def __post_init__(self) -> None:
        self.finite = FiniteCheck(self.student.parameters(), self.accelerator.device)

    @property
    def total_steps(self) -> int:
        """Steps of the whole training."""
        steps = self.settings.epochs * self.schedule.steps_per_epoch
        return min(steps, self.settings.max_steps or steps)

    @property
    def schedule(self) -> BatchSchedule:
        """Which rows each step has."""
        return self.pixels.schedule

    @property
    def state(self) -> dict[str, Tensor]:
        """Everything that training changes: both models' tensors and the optimiser's moments, by name."""
        tensors = {
            f"{which} {name}": tensor
            for which, model in (("student", self.student), ("ema", self.ema))
            for name, tensor in model.state_dict().items()
        }
        names: dict[Tensor, str] = {one: name for name, one in self.student.named_parameters()}
        for parameter, moments in self.optimiser.state.items():
            tensors |= {f"{key} of {names[parameter]}": value for key, value in moments.items()}
        return tensors

    def steps(self, start: int = 0) -> Generator[StepRecord]:
        """Train from step `start` to the end, yielding after each step."""
        device, stop = self.accelerator.device, self.total_steps
        wrapped, optimiser = self.accelerator.prepare(self.student, self.optimiser)
        label = torch.compile(self.ema.logits) if self.compiled else self.ema.logits
        with ExitStack() as sources:
            pixels = sources.enter_context(self.pixels.opened(start, stop))
            batches = (
                Batch(*batch[:3], *tensors.values())
                for batch, tensors in on_device(pixels, lambda batch: batch.tensors, device)
            )
            targets_of = (
                sources.enter_context(self.targets.opened(self.schedule, start, stop))
                if self.targets
                else None
            )
            for step in range(start, stop):
                # Validation between steps switches to eval mode.
                self.student.train()
                models = Models(wrapped, self.ema, label, StepClock(device))
                models.clock.begin("data")
                batch = next(batches)
                assert batch.step == step, "the loader lost its place"
                rows = self.schedule.rows(step)
                targets = targets_of(rows, student_images(batch)) if targets_of else None
                losses = self._losses(models, batch, targets)
                models.clock.begin("optimiser")
                self.finite.update(step, losses, gradients=self.accelerator.scaler is None)
                lr = self._set_rates(step)
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
                models.clock.begin("ema")
                update_ema(self.ema, self.student, ema_ratio(step, self.settings.ema))
                models.clock.end()
                yield StepRecord(step, rows.epoch, losses, lr, models.clock)

    def _losses(self, models: Models, batch: Batch, targets: Targets | None) -> dict[str, Tensor]:
        """Compute the losses of a step and their gradients, part by part."""
        models.clock.begin("loss")
        counts = self._global(self.objective.counts(batch, targets))
        size = len(batch.images) // self.parts
        total: dict[str, Tensor] = {}
        for part in range(self.parts):
            samples = slice(part * size, (part + 1) * size)
            last = part == self.parts - 1
            # Gradients of several processes are averaged once, with the last part's.
            with nullcontext() if last else self.accelerator.no_sync(models.student):
                with self.accelerator.autocast():
                    losses = self.objective(
                        models,
                        batch.part(samples) if self.parts > 1 else batch,
                        targets.part(samples) if targets and self.parts > 1 else targets,
                        counts,
                    )
                models.clock.begin("backward")
                self.accelerator.backward(losses["loss"])
            for name, loss in losses.items():
                total[name] = loss.detach() + total.get(name, 0)
        return total

    def _global(self, own: Counts) -> Counts:
        """The counts of the global batch, at least 1, shared out among the processes: float32."""
        flat = torch.cat([one.reshape(-1) for one in own])
        summed: Tensor = self.accelerator.reduce(flat, "sum")
        shares = (summed.clamp(min=1) / self.accelerator.num_processes).float()
        labeled, unlabeled, tokens = shares.split([one.numel() for one in own])
        return Counts(labeled[0], unlabeled, tokens)

    def reduce(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """The losses of all processes together; every process has to ask."""
        if self.accelerator.num_processes == 1:
            return losses
        mean: Tensor = self.accelerator.reduce(torch.stack(list(losses.values())), "mean")
        return dict(zip(losses, mean, strict=True))

    def divergence(self) -> Divergence | None:
        """The first step since the start whose losses or gradients were not finite in any process.

        With a GradScaler, gradients may overflow and cost no more than the step. They are at fault once they do
        at any scale. Every process has to ask; waits for the device.
        """
        scaler, last, first = self.accelerator.scaler, self.finite.last, self.finite.first
        if scaler is not None and last is not None and scaler.get_scale() < 1:
            return Divergence(last, (GRADIENTS,))
        if first is not None and self.accelerator.num_processes > 1:
            first = -self.accelerator.reduce(-first, "max")
        return self.finite.divergence(first)

    def _set_rates(self, step: int) -> float:
        """Poly decay: lr * (1 - step / total) ** power, times the multiplier for all but the encoder."""
        left = 1 - step / self.total_steps
        lr: float = self.settings.scaled_lr(self.schedule.total) * left**self.settings.power
        for group in self.optimiser.param_groups:
            group["lr"] = lr * group["multiplier"]
        return lr


def make_optimiser(student: Student, settings: OptimiserSettings) -> torch.optim.AdamW:
    """AdamW over the student's two groups: the encoder at lr, everything else at lr * multiplier.

    The loop sets the rates of each step.
    """
    groups = parameter_groups(student, settings.lr, settings.multiplier)
    for group in groups:
        group["multiplier"] = group["lr"] / settings.lr
    return torch.optim.AdamW(groups, weight_decay=settings.weight_decay, fused=True)
