"""Reads runs on disk without importing torch, so that listing many runs is quick.

`record` reads a run, `summary` condenses it to a table row, `finding` searches a folder for runs.
"""

from pipeline.runs.finding import RunList, RunProblem, SortKey, find_runs, list_runs
from pipeline.runs.record import RunRecord, read_run
from pipeline.runs.summary import RunFeatures, RunSummary, summarize

__all__ = [
    "RunFeatures",
    "RunList",
    "RunProblem",
    "RunRecord",
    "RunSummary",
    "SortKey",
    "find_runs",
    "list_runs",
    "read_run",
    "summarize",
]
