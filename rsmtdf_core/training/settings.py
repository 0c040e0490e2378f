"""Settings of stage two: the objective, the optimiser and the schedule."""

from typing import Literal

from pydantic import Field, field_validator

from rsmtdf_core.settings import Settings


class ObjectiveSettings(Settings):
    """What the student minimises.

    Attributes:
        method: supervised (labeled views only), fixmatch (plus pseudo-labels of the EMA model) or
            rs-mtdf (plus distillation from the teachers).
        confidence: softmax confidence from which a pseudo-label counts.
        teachers: cached reads their tokens from the store; online computes them in the loop, as a control.
    """

    method: str = "rs-mtdf"
    confidence: float = Field(default=0.95, ge=0, le=1)
    teachers: Literal["cached", "online"] = "cached"

    @field_validator("method")
    @classmethod
    def _known(cls, method: str) -> str:
        from rsmtdf_core.training.objectives.registry import OBJECTIVES

        if method not in OBJECTIVES:
            raise ValueError(f"expected one of {', '.join(sorted(OBJECTIVES))}, found {method!r}")
        return method


class OptimiserSettings(Settings):
    """AdamW with two learning rates and polynomial decay (reference values as defaults).

    Attributes:
        lr: learning rate of a pretrained encoder.
        multiplier: times lr for everything else.
        weight_decay: AdamW's decoupled weight decay.
        power: exponent of the decay (1 - step / steps) ** power.
        epochs: passes over the unlabeled scenes.
        batch: labeled crops, and as many unlabeled ones, per process and step; even.
        ema: upper bound of the EMA ratio min(1 - 1 / (step + 1), ema).
    """

    lr: float = Field(default=5e-6, gt=0)
    multiplier: float = Field(default=40.0, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    power: float = Field(default=0.9, ge=0)
    epochs: int = Field(default=60, ge=1)
    batch: int = Field(default=8, ge=2, multiple_of=2)
    ema: float = Field(default=0.996, ge=0, lt=1)
