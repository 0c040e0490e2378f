"""Registry rows of this project's protocols. The code is in the other modules of this package."""

from rsmtdf_core.kinds import ProtocolKind

_PACKAGE = "rsmtdf_core.evaluation.protocols"

RSMTDF = ProtocolKind(name="rsmtdf", summary="ours", code=f"{_PACKAGE}.rsmtdf:RSMTDF")
OFFICIAL = ProtocolKind(
    name="official",
    summary="as the official scripts count, faults included",
    code=f"{_PACKAGE}.official:OFFICIAL",
)
DWL = ProtocolKind(name="dwl", summary="as the DWL code counts", code=f"{_PACKAGE}.dwl:DWL")
