"""The rows of this project's teacher families; their code is in the modules beside this one."""

from rsmtdf_core.kinds import FamilyKind

TIMM = FamilyKind(
    name="timm",
    summary="models of timm: transformers and CNNs",
    code="rsmtdf_core.teachers.timm_family",
)
# A CLIP's final LayerNorm, `ln_post`, belongs to its projection; the reference takes the tokens before it.
OPEN_CLIP = FamilyKind(
    name="open_clip",
    summary="the visual transformers of open_clip's CLIP models",
    code="rsmtdf_core.teachers.open_clip_family",
    final_norm=False,
)
