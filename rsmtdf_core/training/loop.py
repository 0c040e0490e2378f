"""The training loop: yield a record of each step, so that the caller can log, score and save (tests: test_parity.py).

A step copies the batch to the device and gets the targets. It computes losses and gradients in the configured number
of parts. Then it updates the student by AdamW with the learning rate of that step, and the EMA model. A method that
trains no head computes tokens only, and its EMA model is a copy of the student, made when it is saved.
"""

from collections.abc import Generator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from rsmtdf_core.student.model import Student, TokenModel, parameter_groups
from rsmtdf_core.student.segmenter import Segmenter
from rsmtdf_core.training.ahead import on_device
from rsmtdf_core.training.clock import StepClock
from rsmtdf_core.training.data import Batch
from rsmtdf_core.training.ema import ema_ratio, update_ema
from rsmtdf_core.training.finite import GRADIENTS, Divergence, FiniteCheck
from rsmtdf_core.training.meter import Measures, Meter
from rsmtdf_core.training.methods.base import (
    Counts,
    Models,
    Objective,
    hooks_of,
    student_images,
)
from rsmtdf_core.training.schedule import BatchSchedule
from rsmtdf_core.training.settings import OptimiserSettings
from rsmtdf_core.training.sources import PixelSource
from rsmtdf_core.training.targets import Targets, TargetSource


@dataclass(frozen=True, slots=True)
class StepRecord:
    """The record of a step.

    Attributes:
        step: the step, counted from 0 over the whole run.
        epoch: the epoch, counted from 0 in this training.
        losses: scalars of this process by name, still on the device; `Training.measured` has the means to log.
        lr: learning rate of the encoder, with layer decay of its last stage.
        clock: durations of the step's phases.
        weights: weights of losses in force, by name.
    """

    step: int
    epoch: int
    losses: dict[str, Tensor]
    lr: float
    clock: StepClock
    weights: dict[str, float] = field(default_factory=dict)


@dataclass
class Training:
    """The state of a training between steps.

    Attributes:
        accelerator: device placement, precision and process group.
        student: the model being trained, unwrapped.
        ema: its EMA model.
        optimiser: AdamW over the student.
        objective: the losses of the method.
        pixels: the batches by step.
        targets: the teachers' tokens; None if the objective uses none.
        settings: settings of the optimizer.
        trains_head: whether the method trains the whole student; otherwise only its encoder and translators.
        first_step: number of steps of the run before this training.
        parts: number of parts of a step, computed one after the other.
        compiler: the backend of torch.compile for both models; None runs them without compilation.
        finite: the check of every step's losses and gradients.
        meter: sums over the logging interval.
    """

    accelerator: Accelerator
    student: Segmenter
    ema: Segmenter
    optimiser: torch.optim.Optimizer
    objective: Objective
    pixels: PixelSource
    targets: TargetSource | None
    settings: OptimiserSettings
    trains_head: bool = True
    first_step: int = 0
    parts: int = 1
    compiler: str | None = None
    finite: FiniteCheck = field(init=False)
    meter: Meter = field(init=False)

    def __post_init__(self) -> None:
        self.finite = FiniteCheck(self.student.parameters(), self.accelerator.device)
        self.meter = Meter(self.accelerator.num_processes)

    @property
    def total_steps(self) -> int:
        """Number of steps of this training."""
        steps = self.settings.epochs * self.schedule.steps_per_epoch
        return min(steps, self.settings.max_steps or steps)

    @property
    def end(self) -> int:
        """The step of the run after the last step of this training."""
        return self.first_step + self.total_steps

    @property
    def schedule(self) -> BatchSchedule:
        """The rows of each step."""
        return self.pixels.schedule

    @property
    def state(self) -> dict[str, Tensor]:
        """All tensors of a checkpoint: those of both models, the optimizer's moments and the method's, by name."""
        tensors = {
            f"{which} {name}": tensor
            for which, model in (("student", self.student), ("ema", self.ema))
            for name, tensor in model.state_dict().items()
        }
        names: dict[Tensor, str] = {
            parameter: name for name, parameter in self.student.named_parameters()
        }
        for parameter, moments in self.optimiser.state.items():
            tensors |= {f"{key} of {names[parameter]}": value for key, value in moments.items()}
        return tensors | self.method_state

    @property
    def method_state(self) -> dict[str, Tensor]:
        """The tensors of the objective and the targets, if they have a `state`; a resumed run continues with them."""
        states = {
            "objective": hooks_of(self.objective).state,
            "targets": getattr(self.targets, "state", {}),
        }
        return {
            f"{part}.{name}": tensor
            for part, state in states.items()
            for name, tensor in state.items()
        }

    def steps(self, start: int = 0) -> Generator[StepRecord]:
        """Train from step `start` of this training to its end, yielding after each step."""
        device, stop = self.accelerator.device, self.total_steps
        wrapped, optimiser = self.accelerator.prepare(self._trained, self.optimiser)
        label = (
            torch.compile(self.ema.logits, backend=self.compiler)
            if self.compiler
            else self.ema.logits
        )
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
                progress = step / max(stop - 1, 1)
                clock = StepClock(device)
                models = Models(wrapped, self.ema, label, clock, progress, self.meter)
                models.clock.begin("data")
                batch = next(batches)
                assert batch.step == step, "the loader is out of step"
                rows = self.schedule.rows(step)
                targets = targets_of(rows, student_images(batch)) if targets_of else None
                losses = self._losses(models, batch, targets)
                self.meter.step(losses)
                models.clock.begin("optimiser")
                self.finite.update(
                    self.first_step + step, losses, gradients=self.accelerator.scaler is None
                )
                lr = self._set_rates(step)
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
                if self.trains_head:
                    models.clock.begin("ema")
                    update_ema(self.ema, self.student, ema_ratio(step, self.settings.ema))
                models.clock.end()
                weights = hooks_of(self.objective).weights(progress)
                yield StepRecord(
                    self.first_step + step, rows.epoch, losses, lr, models.clock, weights
                )

    @property
    def _trained(self) -> nn.Module:
        """The model whose parameters the method trains."""
        if self.trains_head:
            return self.student
        assert isinstance(self.student, Student), "only a student has an encoder and translators"
        return TokenModel(self.student)

    def complete_ema(self) -> None:
        """Copy the student to the EMA model if the method does not average; call this before the EMA model is used."""
        if not self.trains_head:
            update_ema(self.ema, self.student, 0.0)

    def _losses(self, models: Models, batch: Batch, targets: Targets | None) -> dict[str, Tensor]:
        """Compute the losses and gradients of a step, part by part."""
        models.clock.begin("loss")
        counts = self._global(self.objective.counts(batch, targets))
        size = len(batch.images) // self.parts
        total: dict[str, Tensor] = {}
        for part in range(self.parts):
            samples = slice(part * size, (part + 1) * size)
            last = part == self.parts - 1
            # Processes average their gradients once, in the last part.
            with nullcontext() if last else self.accelerator.no_sync(models.student):
                with self.accelerator.autocast():
                    losses = self.objective(
                        models,
                        batch.part(samples) if self.parts > 1 else batch,
                        targets.part(samples, len(batch.images))
                        if targets and self.parts > 1
                        else targets,
                        counts,
                    )
                models.clock.begin("backward")
                self.accelerator.backward(losses["loss"])
            for name, loss in losses.items():
                total[name] = loss.detach() + total.get(name, 0)
        hooks_of(self.objective).end_step(lambda tensor: self.accelerator.reduce(tensor, "sum"))
        return total

    def _global(self, local: Counts) -> Counts:
        """Return the counts of the global batch, 1 instead of 0, divided by the number of processes: float32."""
        given = [count for count in local if count is not None]
        flat = torch.cat([count.reshape(-1) for count in given])
        summed: Tensor = self.accelerator.reduce(flat, "sum")
        shares = (torch.where(summed > 0, summed, 1) / self.accelerator.num_processes).float()
        labeled, unlabeled, tokens, *images = shares.split([count.numel() for count in given])
        return Counts(labeled[0], unlabeled, tokens, *(count[0] for count in images))

    def measured(self) -> Measures:
        """Return the means over the steps since the last call, and start a new interval.

        Every process must call this, and it waits for the device.
        """
        measures = Measures.of(self.interval())
        self.meter.clear()
        return measures

    def interval(self) -> dict[str, Tensor]:
        """Return the interval's sums over all processes, on the CPU; every process must call this."""
        sums = self.meter.sums
        if not sums:
            return {}
        flat = torch.cat([tensor.reshape(-1) for tensor in sums.values()])
        total: Tensor = self.accelerator.reduce(flat, "sum").cpu()
        parts = total.split([tensor.numel() for tensor in sums.values()])
        return {
            name: part.reshape(tensor.shape)
            for (name, tensor), part in zip(sums.items(), parts, strict=True)
        }

    def resume_interval(self, sums: dict[str, Tensor]) -> None:
        """Continue the interval of a checkpoint, whose sums count once over all processes."""
        device, counts = self.accelerator.device, float(self.accelerator.is_main_process)
        self.meter.load({name: counts * tensor.to(device) for name, tensor in sums.items()})

    def divergence(self) -> Divergence | None:
        """Return the first step of this session with non-finite losses or gradients in any process.

        With a GradScaler, gradients that overflow only skip the step. They count as diverged once they overflow at
        every scale. Every process must call this, and it waits for the device.
        """
        scaler, last, first = self.accelerator.scaler, self.finite.last, self.finite.first
        if scaler is not None and last is not None and scaler.get_scale() < 1:
            return Divergence(last, (GRADIENTS,))
        if first is not None and self.accelerator.num_processes > 1:
            first = -self.accelerator.reduce(-first, "max")
        return self.finite.divergence(first)

    def _set_rates(self, step: int) -> float:
        """Set the rates of each group for a step; return that of the encoder's last stage."""
        lr = self.settings.lr_at(step, self.total_steps, self.schedule.total)
        for group in self.optimiser.param_groups:
            group["lr"] = lr * group["multiplier"]
        return lr


def make_optimiser(student: Segmenter, settings: OptimiserSettings) -> torch.optim.AdamW:
    """Create AdamW over the parameters that train, in groups by their share of the encoder's learning rate.

    The loop sets the learning rates of each step.
    """
    groups = parameter_groups(student, settings.lr, settings.multiplier, settings.layer_decay)
    for group in groups:
        group["multiplier"] = group["lr"] / settings.lr
    return torch.optim.AdamW(groups, weight_decay=settings.weight_decay, fused=True)
