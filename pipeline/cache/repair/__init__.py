"""Repair a damaged cache: rebuild files from other files, and set damaged files aside."""

from pipeline.cache.repair.changes import Action, RepairReport
from pipeline.cache.repair.run import repair

__all__ = ["Action", "RepairReport", "repair"]
