"""Settings of stage two: the objective, the optimiser and the schedule."""

from typing import Literal

from pydantic import Field, field_validator

from rsmtdf_core.kinds import METHODS
from rsmtdf_core.roles import ConfigSettings, Result
from rsmtdf_core.settings import MOST_COUNT

DistanceName = Literal["mse", "smooth-l1", "cosine", "standardised-mse"]


class DistillationSettings(ConfigSettings):
    """How the student's tokens are drawn to the teachers'; the defaults are the reference's.

    Attributes:
        loss: mse, smooth-l1, cosine, or standardised-mse: mse in units of each channel's standard deviation
            over the teacher's store, so that no teacher outweighs the others by its scale.
        samples: which samples' tokens are compared.
        padding: whether tokens count whose place in the crop is padding.
        teachers: names of the teachers in use; None uses all of the config.
    """

    loss: Result[DistanceName] = "mse"
    samples: Result[Literal["both", "labeled", "unlabeled"]] = "both"
    padding: Result[bool] = True
    teachers: Result[tuple[str, ...] | None] = Field(default=None, min_length=1)


class ObjectiveSettings(ConfigSettings):
    """What the student minimises.

    Attributes:
        method: the training method, a name in `kinds.METHODS`.
        confidence: softmax confidence from which a pseudo-label counts.
        teachers: cached reads their tokens from the store; online computes them in the loop, as a control.
        distillation: how rs-mtdf distills.
    """

    method: Result[str] = "rs-mtdf"
    confidence: Result[float] = Field(default=0.95, ge=0, le=1)
    teachers: Result[Literal["cached", "online"]] = "cached"
    distillation: DistillationSettings = DistillationSettings()

    @field_validator("method")
    @classmethod
    def _known(cls, method: str) -> str:
        if method not in METHODS:
            raise ValueError(f"expected one of {', '.join(METHODS)}, found {method!r}")
        return method


class OptimiserSettings(ConfigSettings):
    """AdamW with two learning rates and polynomial decay (reference values as defaults).

    Attributes:
        lr: learning rate of a pretrained encoder.
        multiplier: times lr for everything else.
        weight_decay: AdamW's decoupled weight decay.
        power: exponent of the decay (1 - step / steps) ** power.
        epochs: passes over the unlabeled scenes.
        max_steps: upper bound of the steps in all; the decay then ends there.
        batch: labeled crops, and as many unlabeled ones, per process and step; even.
        scale_lr: linear multiplies lr by the global batch (batch times processes) over `lr_batch`.
        lr_batch: the global batch that lr was chosen for; the reference's is 4 GPUs times 8.
        ema: upper bound of the EMA ratio min(1 - 1 / (step + 1), ema).
    """

    lr: Result[float] = Field(
        default=5e-6, gt=0, le=1e30
    )  # training itself finds a rate that diverges
    multiplier: Result[float] = Field(default=40.0, gt=0, le=1e6)
    weight_decay: Result[float] = Field(default=0.01, ge=0, le=1000)
    power: Result[float] = Field(default=0.9, ge=0, le=1000)
    epochs: Result[int] = Field(default=60, ge=1, le=1_000_000)
    max_steps: Result[int | None] = Field(default=None, ge=1, le=MOST_COUNT)
    batch: Result[int] = Field(default=8, ge=2, le=65_536, multiple_of=2)
    scale_lr: Result[Literal["linear", "none"]] = "none"
    lr_batch: Result[int] = Field(default=32, ge=1, le=MOST_COUNT)
    ema: Result[float] = Field(default=0.996, ge=0, lt=1)

    def scaled_lr(self, global_batch: int) -> float:
        """The encoder's first learning rate when this many labeled crops make a step."""
        return self.lr * global_batch / self.lr_batch if self.scale_lr == "linear" else self.lr
