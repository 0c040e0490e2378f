"""The methods by name: a new one is one file and one line here.

The table holds import paths, so that reading a config does not load torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from rsmtdf_core.training.objectives.base import Objective

OBJECTIVES = {
    "supervised": "rsmtdf_core.training.objectives.supervised:Supervised",
    "fixmatch": "rsmtdf_core.training.objectives.fixmatch:FixMatch",
    "unimatch-v2": "rsmtdf_core.training.objectives.unimatch_v2:UniMatchV2",
    "rs-mtdf": "rsmtdf_core.training.objectives.rs_mtdf:RsMtdf",
}
# Those that learn from teachers, so that telling so loads no torch either.
DISTILLING = frozenset({"rs-mtdf"})
# Those that learn from labeled scenes alone.
SUPERVISED = frozenset({"supervised"})


def objective_class(method: str) -> "type[Objective]":
    """The class of the method named."""
    module, name = OBJECTIVES[method].split(":")
    return cast("type[Objective]", getattr(import_module(module), name))
