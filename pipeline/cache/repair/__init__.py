"""Repair of a damaged cache: rebuild what other files determine, set aside what cannot be trusted."""

from pipeline.cache.repair.changes import Action, RepairReport
from pipeline.cache.repair.run import repair

__all__ = ["Action", "RepairReport", "repair"]
