"""Registry rows of this project's methods. The code is in the other modules of this package."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.kinds import MethodKind
from rsmtdf_core.roles import Result, Selection
from rsmtdf_core.training.settings import (
    DistillationSettings,
    MethodSettings,
    Samples,
    SupervisedLossSettings,
    TargetsName,
    TaughtSettings,
)

_PACKAGE = "rsmtdf_core.training.methods"
_LABELED = {"loss_x": "training loss, labeled"}
_SEMI_SUPERVISED = _LABELED | {"loss_u": "training loss, unlabeled"}


class SupervisedSettings(SupervisedLossSettings):
    """Cross-entropy on labeled views only."""

    method: Result[Literal["supervised"]]


class SemiSupervisedSettings(MethodSettings):
    """The keys of FixMatch and its descendants.

    Attributes:
        confidence: minimum softmax probability of a trusted pseudo-label.
        thresholds: fixed, the same `confidence` for every class and step; or self-adaptive, thresholds of each class
            that follow the EMA model's probabilities and replace `confidence` (FreeMatch, Wang et al. 2023).
        threshold_momentum: weight m of the earlier steps in self-adaptive thresholds. They start at 1 / classes, where
            they trust every pixel, and take about 1 / (1 - m) steps to rise. The paper has 0.999 for a million steps.
    """

    confidence: Result[float] = Field(default=0.95, ge=0, le=1)
    thresholds: Result[Literal["fixed", "self-adaptive"]] = "fixed"
    threshold_momentum: Result[float] = Field(default=0.99, ge=0, lt=1)

    @property
    def overruled(self) -> dict[str, str]:
        """The keys of the other kind of thresholds."""
        unused = "threshold_momentum" if self.thresholds == "fixed" else "confidence"
        return super().overruled | {unused: f"with thresholds: {self.thresholds}"}


class FixMatchSettings(SemiSupervisedSettings, SupervisedLossSettings):
    """Pseudo-labels of the EMA model for unlabeled views."""

    method: Result[Literal["fixmatch"]]


class UniMatchV2Settings(SemiSupervisedSettings, SupervisedLossSettings):
    """FixMatch with two strong views and complementary dropout."""

    method: Result[Literal["unimatch-v2"]]


class DistillingSettings(TaughtSettings):
    """The keys of methods with a distillation loss.

    Attributes:
        distillation: distillation loss between the student's and the teachers' tokens.
    """

    distillation: DistillationSettings = DistillationSettings()

    @property
    def first_distillation(self) -> DistillationSettings:
        """The distillation loss of the steps of `pretrain`: by default the same."""
        return self.pretrain.distillation or self.distillation

    def used_teachers(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return `distillation.teachers`, or all teachers if it is None."""
        return self.distillation.used_teachers(names)

    @property
    def token_targets(self) -> TargetsName:
        """The values that the student learns: `distillation.targets`."""
        return self.distillation.targets

    @property
    def needs_labeled_tokens(self) -> bool:
        """Whether tokens of labeled samples alone are compared."""
        return self.distillation.samples == "labeled"

    def require_online(self) -> None:
        """Refuse losses and targets that need a store's statistics."""
        self.distillation.require_online()


HeadKind = Literal["linear", "conv", "dpt"]


class TeacherHeadSettings(SupervisedLossSettings, TaughtSettings):
    """A head on the teachers' tokens, without an encoder.

    Attributes:
        head: linear, a 1x1 convolution; conv, a few convolutions with upsampling; or dpt, the student's head
            (`student.head` is its size).
        tokens: names of the teachers whose tokens are concatenated; None uses all teachers of the config.
    """

    method: Result[Literal["teacher-head"]]
    head: Result[HeadKind] = "conv"
    tokens: Selection[tuple[str, ...] | None] = Field(default=None, min_length=1)

    def used_teachers(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return `tokens`, or all teachers if it is None."""
        if unknown := sorted(set(self.tokens or ()) - set(names)):
            raise ValueError(f"objective.tokens: no teacher is named {', '.join(unknown)}")
        return tuple(name for name in names if self.tokens is None or name in self.tokens)

    def require_online(self) -> None:
        """Refuse tokens of the loop, whose channels have no known mean and spread."""
        raise ConfigError(
            "teacher-head standardizes each channel by its mean and spread, which only a store of features has",
            where="objective.teachers",
            remedy="--set objective.teachers=cached",
        )


class RsMtdfSettings(SemiSupervisedSettings, SupervisedLossSettings, DistillingSettings):
    """FixMatch and distillation from the teachers."""

    method: Result[Literal["rs-mtdf"]]


class DistillSettings(DistillingSettings):
    """Distillation from the teachers alone, without the head."""

    method: Result[Literal["distill"]]

    @property
    def samples(self) -> Samples:
        """The scenes to draw views of: those whose tokens are compared."""
        return self.distillation.samples


SUPERVISED = MethodKind(
    name="supervised",
    summary="cross-entropy on labeled views only",
    code=f"{_PACKAGE}.supervised:Supervised",
    settings=SupervisedSettings,
    strong_views=0,
)
FIXMATCH = MethodKind(
    name="fixmatch",
    summary="pseudo-labels of the EMA model for unlabeled views",
    code=f"{_PACKAGE}.fixmatch:FixMatch",
    settings=FixMatchSettings,
    strong_views=1,
    losses=_SEMI_SUPERVISED,
)
UNIMATCH_V2 = MethodKind(
    name="unimatch-v2",
    summary="fixmatch with two strong views and complementary dropout",
    code=f"{_PACKAGE}.unimatch_v2:UniMatchV2",
    settings=UniMatchV2Settings,
    strong_views=2,
    losses=_SEMI_SUPERVISED,
)
RS_MTDF = MethodKind(
    name="rs-mtdf",
    summary="fixmatch and distillation from the teachers",
    code=f"{_PACKAGE}.rs_mtdf:RsMtdf",
    settings=RsMtdfSettings,
    strong_views=1,
    losses=_SEMI_SUPERVISED | {"loss_distill": "training loss, distillation"},
)
DISTILL = MethodKind(
    name="distill",
    summary="distillation from the teachers alone: encoder and translators, without the head",
    code=f"{_PACKAGE}.distill:Distill",
    settings=DistillSettings,
    strong_views=1,
    trains_head=False,
    losses={"loss_distill": "training loss, distillation"},
)
TEACHER_HEAD = MethodKind(
    name="teacher-head",
    summary="a head on the teachers' tokens alone, without an encoder: a yardstick",
    code=f"{_PACKAGE}.teacher_head:TeacherHeadLoss",
    settings=TeacherHeadSettings,
    strong_views=0,
    model=f"{_PACKAGE}.teacher_head:TeacherHead",
    predicts_from="tokens",
)
