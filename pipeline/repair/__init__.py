"""Repair of a damaged cache: rebuild what other files determine, set aside what cannot be trusted."""

from pipeline.repair.changes import Action, RepairReport
from pipeline.repair.run import repair

__all__ = ["Action", "RepairReport", "repair"]
