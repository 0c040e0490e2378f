"""Settings of stage two: the objective, the optimiser and the schedule."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from rsmtdf_core.roles import ConfigSettings, Result, Selection, Taught
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

    loss: Taught[DistanceName] = "mse"
    samples: Taught[Literal["both", "labeled", "unlabeled"]] = "both"
    padding: Taught[bool] = True
    teachers: Selection[tuple[str, ...] | None] = Field(default=None, min_length=1)


class MethodSettings(ConfigSettings):
    """The training method and its own keys: each method extends this class by them.

    Attributes:
        method: the name of the method.
    """

    method: Result[str]


class TaughtSettings(MethodSettings):
    """What methods that learn from teachers have in common: a method whose settings extend this class gets tokens.

    Attributes:
        teachers: cached reads their tokens from the store; online computes them in the loop, as a control.
    """

    teachers: Taught[Literal["cached", "online"]] = "cached"

    def used_teachers(self, names: Sequence[str]) -> tuple[str, ...]:
        """Those of the config's teachers, given by name, whose tokens the method gets.

        Raises:
            ValueError: a key names a teacher that the config does not have.
        """
        return tuple(names)

    def require_online(self) -> None:
        """Refuse settings that tokens computed in the loop cannot serve.

        Raises:
            ConfigError: they need what only a store knows.
        """


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
