"""Registry rows of this project's protocols. The code is in the other modules of this package."""

from rsmtdf_core.kinds import ProtocolKind

_PACKAGE = "rsmtdf_core.evaluation.protocols"

RSMTDF = ProtocolKind(
    name="rsmtdf", summary="the rule of this project", code=f"{_PACKAGE}.rsmtdf:RSMTDF"
)
OFFICIAL = ProtocolKind(
    name="official",
    summary="the rule of the official scripts, faults included",
    code=f"{_PACKAGE}.official:OFFICIAL",
)
DWL = ProtocolKind(
    name="dwl", summary="the rule of the DWL code, faults included", code=f"{_PACKAGE}.dwl:DWL"
)
