"""Registry rows of this project's teacher families. The code is in the other modules of this package."""

from typing import Literal

from rsmtdf_core.kinds import FamilyKind
from rsmtdf_core.roles import OfTeacher
from rsmtdf_core.teachers.settings import TeacherSettings


class TimmSettings(TeacherSettings):
    """A teacher from timm."""

    family: OfTeacher[Literal["timm"]]


class OpenClipSettings(TeacherSettings):
    """A teacher from open_clip."""

    family: OfTeacher[Literal["open_clip"]]
    # The final LayerNorm, `ln_post`, belongs to the projection; the reference takes the tokens before it.
    final_norm: OfTeacher[bool] = False


TIMM = FamilyKind(
    name="timm",
    summary="transformers and CNNs of timm",
    code="rsmtdf_core.teachers.timm_family",
    settings=TimmSettings,
)
OPEN_CLIP = FamilyKind(
    name="open_clip",
    summary="visual transformers of open_clip's CLIP models",
    code="rsmtdf_core.teachers.open_clip_family",
    settings=OpenClipSettings,
)
