"""The rows of this project's methods; their code is in the modules beside this one."""

from rsmtdf_core.kinds import MethodKind

_PACKAGE = "rsmtdf_core.training.methods"
_LABELED = {"loss_x": "training loss, labeled"}
_SEMI_SUPERVISED = _LABELED | {"loss_u": "training loss, unlabeled"}

SUPERVISED = MethodKind(
    name="supervised",
    summary="cross-entropy on labeled views alone",
    code=f"{_PACKAGE}.supervised:Supervised",
    strong_views=0,
)
FIXMATCH = MethodKind(
    name="fixmatch",
    summary="pseudo-labels of the EMA model for unlabeled views",
    code=f"{_PACKAGE}.fixmatch:FixMatch",
    strong_views=1,
    losses=_SEMI_SUPERVISED,
)
UNIMATCH_V2 = MethodKind(
    name="unimatch-v2",
    summary="fixmatch with two strong views and complementary dropout",
    code=f"{_PACKAGE}.unimatch_v2:UniMatchV2",
    strong_views=2,
    losses=_SEMI_SUPERVISED,
)
RS_MTDF = MethodKind(
    name="rs-mtdf",
    summary="fixmatch and distillation from the teachers",
    code=f"{_PACKAGE}.rs_mtdf:RsMtdf",
    strong_views=1,
    uses_teachers=True,
    losses=_SEMI_SUPERVISED | {"loss_distill": "training loss, distillation"},
)
