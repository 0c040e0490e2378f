"""Registry rows of this project's methods. The code is in the other modules of this package."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from rsmtdf_core.kinds import MethodKind
from rsmtdf_core.roles import Result
from rsmtdf_core.training.settings import (
    DistillationSettings,
    MethodSettings,
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
        threshold_momentum: weight of the earlier steps in self-adaptive thresholds.
    """

    confidence: Result[float] = Field(default=0.95, ge=0, le=1)
    thresholds: Result[Literal["fixed", "self-adaptive"]] = "fixed"
    threshold_momentum: Result[float] = Field(default=0.999, ge=0, lt=1)


class FixMatchSettings(SemiSupervisedSettings, SupervisedLossSettings):
    """Pseudo-labels of the EMA model for unlabeled views."""

    method: Result[Literal["fixmatch"]]


class UniMatchV2Settings(SemiSupervisedSettings, SupervisedLossSettings):
    """FixMatch with two strong views and complementary dropout."""

    method: Result[Literal["unimatch-v2"]]


class RsMtdfSettings(SemiSupervisedSettings, SupervisedLossSettings, TaughtSettings):
    """FixMatch and distillation from the teachers.

    Attributes:
        distillation: distillation loss between the student's and the teachers' tokens.
    """

    method: Result[Literal["rs-mtdf"]]
    distillation: DistillationSettings = DistillationSettings()

    def used_teachers(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return `distillation.teachers`, or all teachers if it is None."""
        return self.distillation.used_teachers(names)

    @property
    def token_targets(self) -> TargetsName:
        """The values that the student learns: `distillation.targets`."""
        return self.distillation.targets

    def require_online(self) -> None:
        """Refuse losses and targets that need a store's statistics."""
        self.distillation.require_online()


SUPERVISED = MethodKind(
    name="supervised",
    summary="cross-entropy on labeled views alone",
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
