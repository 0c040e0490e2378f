"""The rows that the package's entry points name; reading them loads no torch."""

from typing import Literal

from pydantic import Field
from rsmtdf.rsmtdf_core.codecs.settings import CodecSettings
from rsmtdf.rsmtdf_core.kinds import CodecKind, FamilyKind, MethodKind, ProtocolKind
from rsmtdf.rsmtdf_core.roles import OfCodec, OfTeacher, Result, Taught
from rsmtdf.rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf.rsmtdf_core.training.methods.rows import SemiSupervisedSettings
from rsmtdf.rsmtdf_core.training.settings import TaughtSettings


class NearestSettings(SemiSupervisedSettings, TaughtSettings):
    """The absolute distance to the teachers' tokens.

    Attributes:
        weight: weight of the distance in the loss.
    """

    method: Result[Literal["nearest"]]
    weight: Taught[float] = Field(default=1.0, ge=0)


class PatchesSettings(TeacherSettings):
    """Random projections of patches.

    Attributes:
        patch: side of a patch, px.
    """

    family: OfTeacher[Literal["patches"]]
    patch: OfTeacher[int] = Field(default=16, ge=1)
    final_norm: OfTeacher[bool] = False


class FixedSettings(CodecSettings):
    """Fixed-point numbers of 16 bits.

    Attributes:
        steps: steps in a unit.
    """

    name: OfCodec[Literal["fixed"]]
    steps: OfCodec[int] = Field(default=256, ge=1)


NEAREST = MethodKind(
    name="nearest",
    summary="fixmatch and the absolute distance to the teachers' tokens",
    code="toy.method:Nearest",
    settings=NearestSettings,
    strong_views=1,
    losses={"loss_nearest": "distance to the nearest thing"},
)
PATCHES = FamilyKind(
    name="patches",
    summary="random projections of patches",
    code="toy.family:PATCHES",
    settings=PatchesSettings,
)
FIXED = CodecKind(
    name="fixed",
    summary="fixed-point numbers of 16 bits",
    code="toy.codec:Fixed",
    settings=FixedSettings,
    format=7,
)
HALVED = ProtocolKind(name="halved", summary="half of ours", code="toy.protocol:HALVED")
