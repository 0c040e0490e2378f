"""Settings of training: the method, the optimizer and the schedule."""

from collections.abc import Sequence
from math import ceil, cos, pi
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.roles import ConfigSettings, Result, Selection, Taught
from rsmtdf_core.settings import MOST_COUNT

Samples = Literal["both", "labeled", "unlabeled"]
DistanceName = Literal["mse", "smooth-l1", "cosine", "standardised-mse"]
TargetsName = Literal["tokens", "centered", "phi-s"]
_Weight = Annotated[float, Field(ge=0, le=1e6)]
_Steps = Annotated[int, Field(ge=0, le=MOST_COUNT)]
_Part = Annotated[float, Field(gt=0, lt=1)]


class DistillationSettings(ConfigSettings):
    """Distillation loss between the student's and the teachers' tokens. The defaults are those of the reference.

    Attributes:
        loss: distance between tokens: mse, smooth-l1, cosine, or standardised-mse. The latter is mse in units of each
            channel's standard deviation over the teacher's store, so that no teacher dominates by its scale.
        targets: the values that the student learns: the teacher's tokens; centered, minus the mean token of the
            teacher's store, which is most of their energy; or phi-s, centered, rotated and divided by one number, so
            that every channel has unit variance (PHI-S, Ranzinger et al. 2024).
        samples: samples whose tokens are compared. Labeled samples have no cached tokens if views.labeled_views is
            fresh, so that both then means unlabeled.
        padding: whether the loss includes tokens at padded positions of a crop.
        teachers: names of the teachers to use; None uses all teachers of the config.
        weight: factor on this loss in the total; in rs-mtdf (L_x + L_u + weight * L_distill) / 3. The divisor does not
            depend on the weight, so that a change of the weight does not change the other terms.
        final_weight: factor in the last step; None keeps it constant.
        schedule: course of the factor from `weight` in the first step to `final_weight` in the last: linear, or half a
            period of a cosine. It has no effect on a constant factor.
        teacher_weights: weight w of teachers by name, 1 for those not listed; None weighs all equally. The loss is the
            weighted mean sum(w * L) / sum(w) over teachers, so a teacher of weight 0 has no part in it.
    """

    loss: Taught[DistanceName] = "mse"
    targets: Taught[TargetsName] = "tokens"
    samples: Taught[Samples] = "both"
    padding: Taught[bool] = True
    teachers: Selection[tuple[str, ...] | None] = Field(default=None, min_length=1)
    weight: Taught[float] = Field(default=1.0, ge=0, le=1e6)
    final_weight: Taught[float | None] = Field(default=None, ge=0, le=1e6)
    schedule: Taught[Literal["linear", "cosine"]] = "linear"
    teacher_weights: Taught[dict[str, _Weight] | None] = None

    @model_validator(mode="after")
    def _standardises_once(self) -> Self:
        if self.loss == "standardised-mse" and self.targets == "phi-s":
            raise ValueError(
                "loss: standardised-mse and targets: phi-s both standardize the tokens; use loss: mse with phi-s"
            )
        return self

    @model_validator(mode="after")
    def _weighs_something(self) -> Self:
        if self.weight == 0 and not self.final_weight:
            raise ValueError(
                "weight: it is 0 in every step; raise it, or use a method without teachers"
            )
        return self

    @property
    def overruled(self) -> dict[str, str]:
        """The schedule of a constant factor."""
        if self.final_weight is not None:
            return {}
        return {"schedule": "without final_weight, as the weight is then constant"}

    def weight_at(self, progress: float) -> float:
        """Return the factor on the loss.

        Args:
            progress: 0 in the first step of the training, 1 in the last, and linear between them.
        """
        share = progress if self.schedule == "linear" else (1 - cos(pi * progress)) / 2
        final = self.weight if self.final_weight is None else self.final_weight
        # In this form, both ends are exact.
        return (1 - share) * self.weight + share * final

    def used_teachers(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the names in `teachers`, or all if it is None, in the order of the config.

        Args:
            names: names of the teachers in the config.

        Raises:
            ValueError: If a key names a teacher that is not used, or all used teachers have weight 0.
        """
        if unknown := sorted(set(self.teachers or ()) - set(names)):
            listed = ", ".join(unknown)
            raise ValueError(f"objective.distillation.teachers: no teacher is named {listed}")
        used = tuple(name for name in names if self.teachers is None or name in self.teachers)
        weights, key = self.teacher_weights or {}, "objective.distillation.teacher_weights"
        if unknown := sorted(weights.keys() - set(used)):
            raise ValueError(f"{key}: no teacher in use is named {', '.join(unknown)}")
        if used and not any(weights.get(name, 1) for name in used):
            raise ValueError(f"{key}: all teachers have weight 0; raise at least one")
        return used

    def require_online(self) -> None:
        """Check that the loss needs no statistics of a store.

        Raises:
            ConfigError: If it needs the mean or the spread of each channel.
        """
        for key, value, plain in (
            ("loss", self.loss, self.loss != "standardised-mse"),
            ("targets", self.targets, self.targets == "tokens"),
        ):
            if not plain:
                statistic = "spread" if key == "loss" else "mean"
                raise ConfigError(
                    f"{value} needs the {statistic} of each channel, which only a store of features knows",
                    where=f"objective.distillation.{key}",
                    remedy=f"--set objective.teachers=cached, or another objective.distillation.{key}",
                )


class PretrainSettings(ConfigSettings):
    """Distillation from cached tokens before the method starts: encoder and translators learn from all scenes.

    The method then starts from these weights at its own step 0, with a new optimizer and its own learning rates.

    Attributes:
        steps: number of distillation steps, which count in the steps of the run but not in those of the method; 0
            disables distillation.
        lr: initial learning rate of the encoder, with a decay that ends with these steps; by default optimiser.lr. The
            other keys of optimiser apply to these steps too.
        batch: crops per process and step, of labeled and unlabeled scenes together; must be even. By default twice
            optimiser.batch, which is as many as the labeled and unlabeled crops of a step.
        distillation: distillation loss of these steps; by default objective.distillation, or its defaults if the method
            has none.
    """

    steps: Result[int] = Field(default=0, ge=0, le=MOST_COUNT)
    lr: Taught[float | None] = Field(default=None, gt=0, le=1e30)
    batch: Taught[int | None] = Field(default=None, ge=2, le=131_072, multiple_of=2)
    distillation: DistillationSettings | None = None

    @property
    def overruled(self) -> dict[str, str]:
        """All other keys, if there are no steps."""
        return {} if self.steps else dict.fromkeys(("lr", "batch", "distillation"), "with steps: 0")

    def require_usable(self, names: Sequence[str]) -> None:
        """Check the settings against the names of the teachers in the config.

        Raises:
            ValueError: If there are steps but no teachers, or a key names a teacher that is not in the config.
        """
        if self.steps and not names:
            raise ValueError(
                "objective.pretrain.steps: distillation needs teachers, and the config has none; list some under "
                "teachers, or set it to 0"
            )
        if self.distillation is not None:
            try:
                self.distillation.used_teachers(names)
            except ValueError as error:
                problem = str(error).replace("objective.", "objective.pretrain.", 1)
                raise ValueError(problem) from None


class MethodSettings(ConfigSettings):
    """The training method. Each method adds its keys in a subclass.

    Attributes:
        method: the name of the method.
        pretrain: distillation before the method starts.
    """

    method: Result[str]
    pretrain: PretrainSettings = PretrainSettings()

    @property
    def first_distillation(self) -> DistillationSettings:
        """The distillation loss of the steps of `pretrain`."""
        return self.pretrain.distillation or DistillationSettings()

    @property
    def samples(self) -> Samples:
        """The scenes that a method without the head draws views of."""
        return "both"


class SupervisedLossSettings(MethodSettings):
    """Base class for the settings of methods whose supervised loss is `methods.labeled.LabeledLoss`.

    Attributes:
        class_weights: weights of classes in the cross-entropy: none; balanced, inversely proportional to the pixels of
            each class in the masks of the labeled scenes (King and Zeng 2001); or numbers by the name of a class, 1 for
            those not listed.
        region_loss: a loss that is added to the cross-entropy, the mean over images: none; dice (Milletari et al. 2016,
            V-Net); or lovasz, Lovasz-softmax (Berman et al. 2018).
        region_weight: factor on the region loss.
    """

    class_weights: Result[Literal["none", "balanced"] | dict[str, _Weight]] = "none"
    region_loss: Result[Literal["none", "dice", "lovasz"]] = "none"
    region_weight: Result[float] = Field(default=1.0, gt=0, le=1e6)

    @property
    def overruled(self) -> dict[str, str]:
        """The weight of a region loss that is off."""
        off = {"region_weight": "with region_loss: none"} if self.region_loss == "none" else {}
        return super().overruled | off


class TaughtSettings(MethodSettings):
    """Base class for the settings of methods that learn from teachers' tokens.

    Attributes:
        teachers: source of the tokens: cached reads them from the store; online computes them during training, as a
            control.
    """

    teachers: Taught[Literal["cached", "online"]] = "cached"

    def used_teachers(self, names: Sequence[str]) -> tuple[str, ...]:
        """Select the teachers that the method uses.

        Args:
            names: names of the teachers in the config.

        Raises:
            ValueError: If a key names a teacher that is not in the config.
        """
        return tuple(names)

    @property
    def needs_labeled_tokens(self) -> bool:
        """Whether the method needs tokens of labeled samples, which fresh views do not have in a cache."""
        return True

    @property
    def token_targets(self) -> TargetsName:
        """The values that the student learns from each teacher's tokens."""
        return "tokens"

    def require_online(self) -> None:
        """Check that the method can use tokens that are computed during training.

        Raises:
            ConfigError: If the method needs statistics that only a store has.
        """


class OptimiserSettings(ConfigSettings):
    """AdamW with two learning rates and polynomial decay. The defaults are those of the reference.

    Attributes:
        lr: learning rate of the pretrained encoder.
        multiplier: factor on lr for all other parameters.
        weight_decay: AdamW's decoupled weight decay.
        power: exponent of the decay (1 - step / steps) ** power.
        warmup: first steps in which the learning rates rise linearly to those of the decay (arXiv 1706.02677, section
            2.2): a number of steps or, below 1, a share of all steps. 0 disables it.
        layer_decay: learning rate of each stage of the encoder (stem, then blocks of a ViT or stages of a CNN) relative
            to the next one (BEiT, arXiv 2106.08254); the last stage has `lr`. 1 gives all stages the same rate.
        lr_delay: steps by which the learning rates follow the schedule. With 1, step k has the rates of step k - 1, and
            the first two steps share theirs, as in the official programs of RS-MTDF and UniMatch V2, which set the
            rates after each step.
        epochs: number of passes over the unlabeled scenes.
        max_steps: maximum number of steps of the method; the decay then ends at this step.
        batch: labeled crops per process and step, with the same number of unlabeled crops; must be even. For the method
            distill, crops of labeled and unlabeled scenes together.
        scale_lr: linear multiplies lr by the global batch (batch times processes) over `lr_batch`.
        lr_batch: the global batch that lr was chosen for; in the reference, 4 GPUs times 8.
        ema: maximum of the EMA decay min(1 - 1 / (step + 1), ema).
    """

    lr: Result[float] = Field(default=5e-6, gt=0, le=1e30)  # training reports divergence
    multiplier: Result[float] = Field(default=40.0, gt=0, le=1e6)
    weight_decay: Result[float] = Field(default=0.01, ge=0, le=1000)
    power: Result[float] = Field(default=0.9, ge=0, le=1000)
    warmup: Result[_Steps | _Part] = 0
    layer_decay: Result[float] = Field(default=1.0, gt=0, le=1)
    lr_delay: Result[int] = Field(default=0, ge=0, le=1)
    epochs: Result[int] = Field(default=60, ge=1, le=1_000_000)
    max_steps: Result[int | None] = Field(default=None, ge=1, le=MOST_COUNT)
    batch: Result[int] = Field(default=8, ge=2, le=65_536, multiple_of=2)
    scale_lr: Result[Literal["linear", "none"]] = "none"
    lr_batch: Result[int] = Field(default=32, ge=1, le=MOST_COUNT)
    ema: Result[float] = Field(default=0.996, ge=0, lt=1)

    def scaled_lr(self, global_batch: int) -> float:
        """Return the encoder's initial learning rate for a global batch of this many labeled crops."""
        return self.lr * global_batch / self.lr_batch if self.scale_lr == "linear" else self.lr

    def warmup_steps(self, total: int) -> int:
        """Return the number of steps of the warm-up in a training of `total` steps."""
        return self.warmup if isinstance(self.warmup, int) else ceil(self.warmup * total)

    def lr_at(self, step: int, total: int, global_batch: int) -> float:
        """Return the learning rate of the encoder's last stage.

        Args:
            step: the step, counted from 0.
            total: steps of the whole training.
            global_batch: labeled crops of a step in all processes.
        """
        scheduled = max(0, step - self.lr_delay)
        left = 1 - scheduled / total
        lr: float = self.scaled_lr(global_batch) * left**self.power
        warmup = self.warmup_steps(total)
        return lr * min(1.0, (scheduled + 1) / warmup) if warmup else lr
